"""Runs the steps of a signature on numpy arrays: the same code in training and in serving."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lepton_core.errors import invalid
from lepton_core.model_format.features.steps import (
    Concatenate,
    DateParts,
    FlagMissing,
    Impute,
    Lookup,
    Normalize,
    Step,
    Transpose,
)
from lepton_core.model_format.features.values import DATE_RULE, DatePart, as_text, date_part, parse_date
from lepton_core.model_format.signature import Signature

Array = NDArray[Any]
_Operation = Callable[[list[Array]], Array]


class Pipeline:
    """The compiled steps; safe to call from several threads."""

    def __init__(self, steps: Iterable[Step], outputs: Iterable[str]) -> None:
        self._operations = [(step.sources, step.output, _compile(step)) for step in steps]
        self._outputs = tuple(outputs)

    @classmethod
    def of(cls, signature: Signature) -> "Pipeline":
        return cls(signature.steps, [tensor.name for tensor in signature.model_inputs])

    def __call__(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Raw inputs of one batch → what the graph takes. Raises INVALID when a tensor is absent or does not fit."""
        space = dict(tensors)
        for sources, output, operation in self._operations:
            arrays = [_named(space, name) for name in sources]
            try:
                space[output] = operation(arrays)
            except (ValueError, IndexError, np.exceptions.AxisError) as error:
                raise invalid(",".join(sources)[:200], f"does not fit the model's signature: {error}") from None
        return {name: np.ascontiguousarray(_named(space, name)) for name in self._outputs}


def _named(space: dict[str, Array], name: str) -> Array:
    if name not in space:
        raise invalid(name, "this input tensor is missing", allowed=", ".join(sorted(space))[:500])
    return space[name]


def _compile(step: Step) -> _Operation:
    match step:
        case Normalize():
            return _normalize(step)
        case Transpose():
            order = step.order
            return lambda arrays: arrays[0].transpose(order)
        case Concatenate():
            return lambda arrays: np.concatenate([_numbers(array) for array in arrays], axis=1)
        case FlagMissing():
            columns = list(step.columns)
            return lambda arrays: np.isnan(arrays[0][:, columns]).astype(np.float32)
        case Impute():
            values = np.asarray(step.values)
            return lambda arrays: np.where(np.isnan(arrays[0]), values, arrays[0])
        case DateParts():
            return lambda arrays: _date_parts(arrays[0], step.input, step.parts)
        case Lookup():
            tables = [{word: place for place, word in enumerate(words, 1)} for words in step.vocabularies]
            return lambda arrays: np.stack([_places(array, t) for array, t in zip(arrays, tables, strict=True)], axis=1)


def _normalize(step: Normalize) -> _Operation:
    # In FP64 for numbers such as 1e9 ± 1, which FP32 would merge; pixels lose nothing in FP32, and are many.
    mean, factor = np.asarray(step.mean), 1 / np.asarray(step.std)
    small_mean, small_factor = mean.astype(np.float32), factor.astype(np.float32)

    def apply(arrays: list[Array]) -> Array:
        small = arrays[0].dtype.itemsize <= 4
        result: Array = np.subtract(arrays[0], small_mean if small else mean)
        result *= small_factor if small else factor
        if step.clip is not None:
            np.clip(result, -step.clip, step.clip, out=result)
        return result.astype(np.float32, copy=False)

    return apply


def _numbers(array: Array) -> Array:
    """(batch,) or (batch, n) of any numeric kind → (batch, n) FP64."""
    matrix = array.reshape(len(array), -1)
    return matrix.astype(np.float64, copy=False)


def _places(array: Array, table: dict[str, int]) -> Array:
    return np.fromiter((table.get(as_text(value), 0) for value in array.reshape(len(array))), np.int64, len(array))


def _date_parts(array: Array, name: str, parts: tuple[DatePart, ...]) -> Array:
    """(batch,) or (batch, 1) of text → (batch, parts)."""
    found = np.full((len(array), len(parts)), np.nan)
    for row, value in enumerate(array.reshape(len(array))):
        text = as_text(value)
        if not text:
            continue
        moment = parse_date(text)
        if moment is None:
            # An answer about an invented date would look like any other.
            raise invalid(name, "not a date", text, DATE_RULE)
        found[row] = [date_part(moment, part) for part in parts]
    return found
