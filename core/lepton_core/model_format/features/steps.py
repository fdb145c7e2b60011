"""The declarative steps between the tensors a client sends and the tensors the model's graph takes.

Plain data, so that a signature from anywhere can be read without running anything. Names of tensors form one
namespace: the raw inputs, then each step's output.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from lepton_core.model_format.features.values import DatePart

MAX_STEPS = 1_000
MAX_VOCABULARY = 1_000_000
TensorName = Annotated[str, Field(min_length=1, max_length=256)]


class _Step(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    output: TensorName


class _Unary(_Step):
    input: TensorName

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.input,)


class _Many(_Step):
    inputs: tuple[TensorName, ...] = Field(min_length=1, max_length=100_000)

    @property
    def sources(self) -> tuple[str, ...]:
        return self.inputs


class Normalize(_Unary):
    """(x - mean) / std along the last axis (one mean and std for each place on it), cut to ±clip, as FP32."""

    op: Literal["normalize"] = "normalize"
    mean: tuple[FiniteFloat, ...] = Field(min_length=1)
    std: tuple[Annotated[FiniteFloat, Field(gt=0)], ...] = Field(min_length=1)
    clip: Annotated[FiniteFloat, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _check_lengths(self) -> "Normalize":
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} values and std {len(self.std)}; both need the same number")
        return self


class Transpose(_Unary):
    """Reorders the axes; the batch stays first."""

    op: Literal["transpose"] = "transpose"
    order: tuple[int, ...] = Field(min_length=1, max_length=8)

    @model_validator(mode="after")
    def _check_permutation(self) -> "Transpose":
        if sorted(self.order) != list(range(len(self.order))) or self.order[0] != 0:
            raise ValueError("order must name every axis once, and begin with 0 (the batch)")
        return self


class Concatenate(_Many):
    """Columns of shape (batch,) or (batch, n), side by side, as FP64; text that stands for a missing value is NaN."""

    op: Literal["concatenate"] = "concatenate"


class FlagMissing(_Unary):
    """1.0 where the named columns of a matrix are NaN, else 0.0, as FP32 (batch, number of columns)."""

    op: Literal["flag_missing"] = "flag_missing"
    columns: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1)


class Impute(_Unary):
    """Replaces NaN in the columns of a matrix by one value for each column."""

    op: Literal["impute"] = "impute"
    values: tuple[FiniteFloat, ...] = Field(min_length=1)


class DateParts(_Unary):
    """A text column of ISO dates to numbers: one column for each part, FP64 (batch, parts); NaN where it is missing."""

    op: Literal["date_parts"] = "date_parts"
    parts: tuple[DatePart, ...] = Field(min_length=1, max_length=len(DatePart))


class Lookup(_Many):
    """Text columns to indices, INT64 (batch, columns): 1 + the place in the column's vocabulary, 0 for anything else.

    A missing value is the empty string, which has a place of its own when the training data had missing values.
    """

    op: Literal["lookup"] = "lookup"
    vocabularies: tuple[tuple[str, ...], ...]

    @model_validator(mode="after")
    def _check_one_value_each(self) -> "Lookup":
        if len(self.vocabularies) != len(self.inputs):
            raise ValueError(f"{len(self.inputs)} inputs need as many vocabularies, not {len(self.vocabularies)}")
        if sum(map(len, self.vocabularies)) > MAX_VOCABULARY:
            raise ValueError(f"the vocabularies hold more than {MAX_VOCABULARY} entries")
        if any(len(set(words)) != len(words) for words in self.vocabularies):
            raise ValueError("an entry occurs twice in a vocabulary")
        return self


Step = Annotated[
    Normalize | Transpose | Concatenate | FlagMissing | Impute | DateParts | Lookup,
    Field(discriminator="op"),
]
