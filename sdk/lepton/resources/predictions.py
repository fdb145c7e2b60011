"""Predictions from an image, a row, a text or tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from lepton.transport.http import Transport, part
from lepton_core.errors import invalid
from lepton_core.model_format.kinds import InputKind, input_kinds


class Prediction(BaseModel):
    """One prediction, with the ids to trace it. Fields that the model's kind does not have are None.

    Fields of further kinds are attributes, too.
    """

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    prediction_id: str
    deployment: str = ""
    model: str = ""
    model_version: int = 0
    model_version_id: str = ""
    revision_id: str = ""
    label: str | None = None
    # by label
    probabilities: dict[str, float] | None = None
    value: float | None = None
    # of a model of plain tensors: nested lists by the name of the output
    outputs: dict[str, Any] | None = None


def predict(transport: Transport, deployment: str, **inputs: Any) -> Prediction:
    kind, value = one_of("one", inputs)
    return Prediction.model_validate(_ask(transport, deployment, {kind.one: kind.to_json(value)}))


def predict_many(transport: Transport, deployment: str, **inputs: Any) -> list[Prediction]:
    kind, values = one_of("many", inputs)
    instances = kind.list_to_json(values)
    answer = _ask(transport, deployment, {kind.many: instances}) if instances else {"predictions": []}
    return [Prediction.model_validate(each) for each in answer["predictions"]]


def one_of(key: str, inputs: Mapping[str, Any]) -> tuple[InputKind, Any]:
    """The kind whose name the argument has, and the argument; `key` is "one" or "many". INVALID unless there is one."""
    given = {name: value for name, value in inputs.items() if value is not None}
    kinds = {getattr(kind, key): kind for kind in input_kinds()}
    allowed = f"exactly one of {', '.join(kinds)}"
    if len(given) != 1:
        raise invalid("input", f"{len(given)} inputs given", list(given), allowed)
    ((name, value),) = given.items()
    if name not in kinds:
        raise invalid("input", "unknown kind of input", name, allowed)
    return kinds[name], value


def _ask(transport: Transport, deployment: str, body: Mapping[str, Any]) -> Any:
    path = f"/v1/deployments/{part(deployment, 'deployment')}:predict"
    return transport.request("POST", path, json_body=body).json()
