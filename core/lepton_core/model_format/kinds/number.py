"""Numbers: one number an instance."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lepton_core.model_format.kinds.port import OutputKind
from lepton_core.model_format.signature import Signature

if TYPE_CHECKING:
    from numpy.typing import NDArray


class NumberOutput(OutputKind):
    """{"value": 3.5} from numbers (batch,) or (batch, 1)."""

    name = "number"
    key = "value"
    properties = {"value": {"type": "number"}}
    example = {"value": 3.5}

    def encode(self, signature: Signature, outputs: "Mapping[str, NDArray[Any]]") -> list[dict[str, Any]]:
        import numpy as np

        values = np.asarray(outputs[signature.outputs[0].name], np.float64).reshape(-1)
        return [{"value": value} for value in values.tolist()]

    def text(self, answer: Mapping[str, Any]) -> str:
        value = answer["value"]
        return "no number" if value is None else f"{value:.6g}"


NUMBER = NumberOutput()
