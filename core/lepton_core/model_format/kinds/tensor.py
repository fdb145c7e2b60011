"""Plain tensors by their names, for models that no other kind describes: what goes in and what comes out."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_core.errors import LeptonError, Location, invalid
from lepton_core.model_format.kinds.json_files import instance_in, json_lines
from lepton_core.model_format.kinds.port import FieldErrors, InputKind, Option, OutputKind, names_of
from lepton_core.model_format.kinds.values import nested_lists
from lepton_core.model_format.signature import NUMPY_TYPES, Datatype, Signature, TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lepton_core.model_format.kinds.port import Tensors

    Array = NDArray[Any]

# A longer example would fill the screen.
MAX_EXAMPLE_VALUES = 64
EXAMPLE = 'nested lists, e.g. [[1, 2], [3, 4]], or {"name": lists} for several tensors'


def _given(text: str) -> Any:
    return instance_in(text, "--tensor", EXAMPLE)[1]


def _lines(text: str) -> Iterator[Any]:
    return (value for _, value in json_lines(Path(text), EXAMPLE))


class TensorInput(InputKind):
    """Each instance: {tensor name: nested lists}, or the lists alone when the model takes one tensor."""

    name = "tensor"
    one = "tensor"
    many = "tensors"
    options = (
        Option("tensor", "JSON", f"One example as JSON: {EXAMPLE}; or a file of it.", _given),
        Option("tensors", "FILE", "Many examples: a .jsonl file, one a line.", _lines, many=True),
    )
    schema = {
        "description": "Nested lists of the tensor's shape without the batch, or an object of such by tensor name.",
        "anyOf": [{"type": "array", "items": {}}, {"type": "number"}, {"type": "object"}],
    }
    example = [0.5, 1.5]

    def accepts(self, signature: Signature) -> bool:
        """Every model's inputs are tensors, but where another kind is named, the inference protocol takes them."""
        return signature.input_kind in (self.name, "text")

    def decode(self, signature: Signature, instances: Sequence[Any]) -> "Tensors":
        import numpy as np

        errors = FieldErrors()
        tensors: Tensors = {}
        for tensor in signature.inputs:
            values = []
            for index, instance in enumerate(instances):
                try:
                    values.append(_tensor(signature, tensor, instance, index))
                except LeptonError as error:
                    errors.add_error(error)
            errors.raise_any()
            try:
                tensors[tensor.name] = np.stack(values)
            except ValueError:
                allowed = f"shape {list(tensor.shape[1:])}"
                raise invalid(tensor.name, "the instances have different shapes", allowed=allowed) from None
        return tensors

    def to_json(self, value: Any) -> Any:
        """One example without the batch: nested lists, an array, or a mapping of tensor names to such."""
        if isinstance(value, Mapping):
            return {str(name): nested_lists(entry) for name, entry in value.items()}
        return nested_lists(value)

    def list_to_json(self, values: Any) -> list[Any]:
        """A batch: an array or a list of examples, or {name: array} whose first dimension is the batch."""
        if isinstance(values, Mapping):
            columns = {str(name): nested_lists(entry) for name, entry in values.items()}
            if len({len(column) for column in columns.values()}) > 1:
                lengths = {name: len(column) for name, column in columns.items()}
                raise invalid("tensors", "the tensors have batches of different size", lengths, "the same first size")
            return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        if hasattr(values, "tolist"):
            return list(values.tolist())
        return [self.to_json(value) for value in values]

    def arguments_to_try(self, signature: Signature, card: Mapping[str, Any], folder: Path) -> list[str]:
        sizes = [math.prod(max(size, 1) for size in tensor.shape[1:]) for tensor in signature.inputs]
        if sum(sizes) > MAX_EXAMPLE_VALUES:
            return []
        zeros = {tensor.name: _zeros(tensor.datatype, tensor.shape[1:]) for tensor in signature.inputs}
        return ["--tensor", json.dumps(next(iter(zeros.values())) if len(zeros) == 1 else zeros)]


class TensorOutput(OutputKind):
    """{"outputs": {tensor name: nested lists}}: names of the model's choosing hide nothing that is said beside them."""

    name = "tensor"
    key = "outputs"
    properties = {"outputs": {"type": "object", "description": "Nested lists by the name of the output tensor."}}
    example = {"outputs": {"y": [0.25, 0.75]}}

    def encode(self, signature: Signature, outputs: "Mapping[str, Array]") -> list[dict[str, Any]]:
        arrays = {tensor.name: outputs[tensor.name] for tensor in signature.outputs}
        count = len(next(iter(arrays.values())))
        return [{"outputs": {name: _plain(array[index]) for name, array in arrays.items()}} for index in range(count)]

    def text(self, answer: Mapping[str, Any]) -> str:
        return json.dumps(answer["outputs"], ensure_ascii=False)


def _tensor(signature: Signature, tensor: TensorSpec, instance: Any, index: int) -> "Array":
    field = ("instances", index, tensor.name)
    if isinstance(instance, Mapping):
        names = [each.name for each in signature.inputs]
        if unknown := next((name for name in instance if name not in names), None):
            raise invalid(("instances", index, unknown[:256]), "the model has no such input", allowed=names_of(names))
        if tensor.name not in instance:
            raise invalid(field, "this input tensor is missing", allowed=f"{tensor.datatype} {list(tensor.shape[1:])}")
        instance = instance[tensor.name]
    elif len(signature.inputs) > 1:
        raise invalid(("instances", index), "the model takes several tensors", allowed="an object of names and values")
    array = _array(tensor, instance, field)
    wanted = tensor.shape[1:]
    if array.ndim != len(wanted) or any(w not in (-1, g) for w, g in zip(wanted, array.shape, strict=True)):
        raise invalid(field, f"wrong shape {list(array.shape)}", allowed=f"shape {list(wanted)}")
    return array


def _array(tensor: TensorSpec, value: Any, field: Location) -> "Array":
    """numpy alone would cut 1.5 to an integer, read "1" and true as numbers, and null as NaN."""
    import numpy as np

    shape, entries = _flattened(value, field)
    _check_types(tensor.datatype, entries, field)
    dtype = np.dtype(NUMPY_TYPES[tensor.datatype])
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        for place, entry in enumerate(entries):
            # Comparisons with NaN are false.
            if not (limits.min <= entry <= limits.max and int(entry) == entry):
                allowed = f"whole numbers from {limits.min} to {limits.max}"
                raise invalid(field, f"element {place} does not fit {tensor.datatype}", entry, allowed)
        entries = [int(entry) for entry in entries]
    try:
        with np.errstate(over="raise"):
            array = np.empty(len(entries), object)
            array[:] = entries
            return array.astype(dtype).reshape(shape)
    except (OverflowError, FloatingPointError):
        raise invalid(field, f"a number is too large for {tensor.datatype}", allowed=f"{tensor.datatype}") from None


_ELEMENTS: dict[str, tuple[frozenset[type], str]] = {
    Datatype.BOOL: (frozenset({bool}), "true and false"),
    Datatype.BYTES: (frozenset({str, bytes}), "text"),
}
_NUMBERS: tuple[frozenset[type], str] = (frozenset({int, float}), "numbers")


def _check_types(datatype: Datatype, entries: list[Any], field: Location) -> None:
    types, allowed = _ELEMENTS.get(datatype, _NUMBERS)
    if not set(map(type, entries)) <= types:
        place, wrong = next((place, entry) for place, entry in enumerate(entries) if type(entry) not in types)
        raise invalid(field, f"element {place} is not of type {datatype}", wrong, f"nested lists of {allowed}")


def _flattened(value: Any, field: Location) -> tuple[list[int], list[Any]]:
    """The shape of nested lists, and their elements row by row. Raises INVALID where the lengths differ."""
    shape: list[int] = []
    level = [value]
    while level and isinstance(level[0], list | tuple):
        size = len(level[0])
        if any(not isinstance(entry, list | tuple) or len(entry) != size for entry in level):
            raise invalid(field, "the lists have different lengths", allowed="nested lists of equal lengths")
        shape.append(size)
        level = [inner for entry in level for inner in entry]
        if len(shape) > 8:
            raise invalid(field, "nested too deeply", allowed="at most 8 dimensions")
    return shape, level


def _plain(value: Any) -> Any:
    value = nested_lists(value)
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _zeros(datatype: Datatype, shape: Sequence[int]) -> Any:
    if shape:
        return [_zeros(datatype, shape[1:]) for _ in range(max(shape[0], 1))]
    return {Datatype.BYTES: "text", Datatype.BOOL: False}.get(datatype, 0)


TENSOR_IN = TensorInput()
TENSOR_OUT = TensorOutput()
