"""What a model takes and gives: signature.json of a model package.

`inputs` are the raw tensors of the Open Inference Protocol (pixels, columns, text: before normalisation and
encoding), `steps` lead from them to `model_inputs`, which the graph takes; `outputs` are what the graph gives.
The first dimension of every tensor is the batch. -1 stands for any size.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lepton_core.model_format.features.steps import MAX_STEPS, Step, TensorName
from lepton_core.model_format.features.values import NumberFormat

SIGNATURE_FORMAT = 1
# Fields that joined the format after its first release.
_NEWER_FIELDS = ("number_formats", "ignored")


class Datatype(StrEnum):
    """Element types, by their names in the Open Inference Protocol."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"


# Names, so that reading a signature needs no numpy.
NUMPY_TYPES: dict[Datatype, str] = {
    Datatype.BOOL: "bool",
    Datatype.UINT8: "uint8",
    Datatype.UINT16: "uint16",
    Datatype.UINT32: "uint32",
    Datatype.UINT64: "uint64",
    Datatype.INT8: "int8",
    Datatype.INT16: "int16",
    Datatype.INT32: "int32",
    Datatype.INT64: "int64",
    Datatype.FP16: "float16",
    Datatype.FP32: "float32",
    Datatype.FP64: "float64",
    Datatype.BYTES: "object",
}


class TensorSpec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: TensorName
    datatype: Datatype
    shape: tuple[Annotated[int, Field(ge=-1, le=2**31)], ...] = Field(min_length=1, max_length=8)

    @model_validator(mode="after")
    def _check_dimensions(self) -> "TensorSpec":
        if 0 in self.shape:
            raise ValueError(f"tensor {self.name}: a dimension of 0 holds nothing")
        return self


class Signature(BaseModel):
    """Kinds are an open list: a new one is an object in `lepton_core.model_format.kinds`."""

    # A reader of format 1 refuses what it does not know, rather than serve it half understood.
    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = Field(default=SIGNATURE_FORMAT, ge=1, le=SIGNATURE_FORMAT)
    input_kind: str = Field(default="tensor", max_length=64)
    output_kind: str = Field(default="tensor", max_length=64)
    inputs: tuple[TensorSpec, ...] = Field(min_length=1, max_length=100_000)
    steps: tuple[Step, ...] = Field(default=(), max_length=MAX_STEPS)
    model_inputs: tuple[TensorSpec, ...] = Field(min_length=1, max_length=1_000)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1, max_length=1_000)
    # of output kind "class", in the order of the probabilities
    labels: tuple[str, ...] = Field(default=(), max_length=1_000_000)
    # the column that is predicted from the others, when the input is a row
    target: str = ""
    # columns of a row whose numbers are written as text in another form than plain, e.g. "1.234,5"
    number_formats: dict[str, NumberFormat] = Field(default_factory=dict, max_length=100_000)
    # columns of the training data that the model does not read; a row may have them
    ignored: tuple[str, ...] = Field(default=(), max_length=100_000)

    @model_validator(mode="after")
    def _check_consistency(self) -> "Signature":
        known = {tensor.name for tensor in self.inputs}
        if len(known) != len(self.inputs):
            raise ValueError("two inputs have the same name")
        for step in self.steps:
            if absent := [name for name in step.sources if name not in known]:
                raise ValueError(f"step {step.op} takes {absent[0]!r}, which no input or earlier step gives")
            known.add(step.output)
        if absent := [tensor.name for tensor in self.model_inputs if tensor.name not in known]:
            raise ValueError(f"the graph takes {absent[0]!r}, which no input or step gives")
        return self

    def to_json(self) -> str:
        # A reader that does not know a newer field takes the signature of a model that does not use it.
        unused = {name for name in _NEWER_FIELDS if not getattr(self, name)}
        return self.model_dump_json(indent=1, exclude=unused)

    def input(self, name: str) -> TensorSpec | None:
        return next((tensor for tensor in self.inputs if tensor.name == name), None)
