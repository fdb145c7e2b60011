"""Kinds of input and output: all of them, found by name, by key of a body, or by signature.

A kind of another package is found by the entry point `lepton.input_kinds` or `lepton.output_kinds`.
docs/adding-an-input-kind.md has the steps.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.model_format.kinds.classes import CLASS
from lepton_core.model_format.kinds.image import IMAGE
from lepton_core.model_format.kinds.number import NUMBER
from lepton_core.model_format.kinds.port import MAX_INSTANCES, InputKind, Option, OutputKind
from lepton_core.model_format.kinds.row import ROW
from lepton_core.model_format.kinds.tensor import TENSOR_IN, TENSOR_OUT
from lepton_core.model_format.kinds.text import TEXT
from lepton_core.model_format.signature import Signature

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lepton_core.model_format.kinds.port import Tensors

__all__ = [
    "InputKind",
    "Option",
    "OutputKind",
    "decode_instances",
    "encode_outputs",
    "input_kinds",
    "kind_of_answer",
    "kinds_for",
    "output_kinds",
]

_INPUTS: tuple[InputKind, ...] = (IMAGE, ROW, TEXT, TENSOR_IN)
_OUTPUTS: tuple[OutputKind, ...] = (CLASS, NUMBER, TENSOR_OUT)


@cache
def input_kinds() -> tuple[InputKind, ...]:
    return (*_INPUTS, *(point.load() for point in entry_points(group="lepton.input_kinds")))


@cache
def output_kinds() -> tuple[OutputKind, ...]:
    return (*_OUTPUTS, *(point.load() for point in entry_points(group="lepton.output_kinds")))


def kinds_for(signature: Signature) -> list[InputKind]:
    """The kinds in which a model can be asked, its own first. Raises UNIMPLEMENTED for a kind that is not installed."""
    kinds = [kind for kind in input_kinds() if kind.accepts(signature)]
    if not kinds:
        known = ", ".join(kind.name for kind in input_kinds())
        detail = f"the model takes input of kind {signature.input_kind!r}; known here: {known}"
        raise LeptonError(ErrorCode.UNIMPLEMENTED, detail)
    return sorted(kinds, key=lambda kind: kind.name != signature.input_kind)


def decode_instances(signature: Signature, instances: Sequence[Any], kind: InputKind | None = None) -> "Tensors":
    """One batch of the signature's raw tensors; `kind` is the model's own unless it is given.

    Raises INVALID naming the instances and fields that are wrong.
    """
    if not instances:
        raise invalid("instances", "there is nothing to predict", allowed="at least one instance")
    if len(instances) > MAX_INSTANCES:
        detail = f"{len(instances)} instances in a request; at most {MAX_INSTANCES} are taken"
        raise LeptonError(ErrorCode.TOO_LARGE, detail)
    return (kind or kinds_for(signature)[0]).decode(signature, instances)


def encode_outputs(signature: Signature, outputs: "Mapping[str, NDArray[Any]]") -> list[dict[str, Any]]:
    """The graph's outputs as one answer an instance, ready for JSON."""
    for kind in output_kinds():
        if kind.name == signature.output_kind:
            return kind.encode(signature, outputs)
    known = ", ".join(kind.name for kind in output_kinds())
    detail = f"the model gives output of kind {signature.output_kind!r}; known here: {known}"
    raise LeptonError(ErrorCode.UNIMPLEMENTED, detail)


def kind_of_answer(answer: Mapping[str, Any]) -> OutputKind | None:
    """The kind of an answer, by the field that only its kind has."""
    return next((kind for kind in output_kinds() if answer.get(kind.key) is not None), None)
