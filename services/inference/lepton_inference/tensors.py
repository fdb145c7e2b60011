"""Decodes and encodes tensors: JSON lists, raw little-endian bytes, protobuf's typed lists.

Both transports use `decode`, so the same fault gives the same error. Sizes are compared with the data that arrived
before any memory is allocated for them.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lepton_core.errors import LeptonError, Location, invalid
from lepton_core.model_format.signature import NUMPY_TYPES, TensorSpec

Array = NDArray[Any]

MAX_DIMENSION = 2**31 - 1
_LENGTH = struct.Struct("<I")

# Formats of `struct`, which is fast and refuses texts, fractions in integers, and numbers out of range. numpy would
# convert all three.
_FORMATS = {
    "UINT8": "B",
    "UINT16": "H",
    "UINT32": "I",
    "UINT64": "Q",
    "INT8": "b",
    "INT16": "h",
    "INT32": "i",
    "INT64": "q",
    "FP16": "e",
    "FP32": "f",
    "FP64": "d",
}


@dataclass(slots=True)
class WireTensor:
    """An input as it was sent. `data`: raw bytes, a (nested) list of JSON, or a typed list of protobuf."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: Any
    raw: bool = False


class _Input:
    """A TensorSpec with precomputed values, against which requests are checked."""

    def __init__(self, spec: TensorSpec) -> None:
        self.name = spec.name
        self.datatype: str = spec.datatype.value
        self.shape = spec.shape
        self.dtype = np.dtype(NUMPY_TYPES[spec.datatype])
        self.wire_dtype = self.dtype.newbyteorder("<")


class InputTable:
    """The raw inputs of a signature, prepared for checking requests."""

    def __init__(self, specs: Sequence[TensorSpec]) -> None:
        self._inputs = {spec.name: _Input(spec) for spec in specs}

    def decode(self, tensors: Sequence[WireTensor]) -> dict[str, Array]:
        """Raises INVALID that names the first tensor that does not match the signature, and the problem."""
        arrays: dict[str, Array] = {}
        rows = -1
        for index, tensor in enumerate(tensors):
            wanted = self._inputs.get(tensor.name)
            if wanted is None:
                allowed = _names(self._inputs)
                raise invalid(("inputs", index, "name"), "the model has no such input", tensor.name, allowed)
            if tensor.name in arrays:
                raise invalid(("inputs", index, "name"), "there are two inputs of this name", tensor.name)
            count = _count(wanted, tensor, index)
            if rows not in (-1, tensor.shape[0]):
                message = "the inputs have different batch sizes"
                raise invalid(("inputs", index, "shape"), message, list(tensor.shape), f"{rows} rows")
            rows = tensor.shape[0]
            flat = _raw(wanted, tensor, count, index) if tensor.raw else _listed(wanted, tensor, count, index)
            arrays[wanted.name] = flat.astype(wanted.dtype, copy=False).reshape(tensor.shape)
        if len(arrays) != len(self._inputs):
            missing = [name for name in self._inputs if name not in arrays]
            raise invalid("inputs", f"input {missing[0]!r} is missing", allowed=_names(self._inputs))
        return arrays


def _names(specs: Mapping[str, Any]) -> str:
    return ", ".join(specs)[:500]


def _shown_shape(shape: Sequence[int]) -> str:
    return "[" + ", ".join("any" if size == -1 else str(size) for size in shape) + "]"


def _count(wanted: _Input, tensor: WireTensor, index: int) -> int:
    """The number of elements of the shape. Raises INVALID if it does not match the signature."""
    message = f"does not match input {wanted.name!r}"
    if tensor.datatype != wanted.datatype:
        raise invalid(("inputs", index, "datatype"), message, tensor.datatype, wanted.datatype)
    shape = tensor.shape
    fits = len(shape) == len(wanted.shape)
    if fits:
        for size, allowed in zip(shape, wanted.shape, strict=True):
            # `type` instead of isinstance: true is not a size.
            if type(size) is not int or not 0 < size <= MAX_DIMENSION or allowed not in (-1, size):
                fits = False
                break
    if not fits:
        rule = f"{_shown_shape(wanted.shape)}, each size at least 1"
        raise invalid(("inputs", index, "shape"), message, list(shape)[:16], rule)
    return math.prod(shape)


def _listed(wanted: _Input, tensor: WireTensor, count: int, index: int) -> Array:
    data: Any = tensor.data
    field = ("inputs", index, "data")
    if isinstance(data, list) and data and isinstance(data[0], list):
        data = _flattened(data, tensor.shape, field)
    if isinstance(data, str | bytes | dict) or not hasattr(data, "__len__"):
        raise invalid(field, "not a list of elements", type(data).__name__, f"{count} elements")
    if len(data) != count:
        raise invalid(field, "the number of elements does not match the shape", len(data), str(count))
    if wanted.datatype == "BYTES":
        return _texts(data, field)
    if wanted.datatype == "BOOL":
        if not set(map(type, data)) <= {bool}:
            raise _wrong_element(wanted, data, field)
        return np.array(data, np.bool_)
    layout = f"<{count}{_FORMATS[wanted.datatype]}"
    try:
        packed = struct.pack(layout, *data)
    except (struct.error, OverflowError):
        if wanted.dtype.kind not in "iu":
            raise _wrong_element(wanted, data, field) from None
        # Clients in JavaScript and R write 3.0 for 3. Done only after a refusal, since it is slow.
        data = [int(each) if type(each) is float and each.is_integer() else each for each in data]
        try:
            packed = struct.pack(layout, *data)
        except (struct.error, OverflowError):
            raise _wrong_element(wanted, data, field) from None
    return np.frombuffer(packed, wanted.wire_dtype)


def _flattened(data: list[Any], shape: Sequence[int], field: Location) -> list[Any]:
    """Flattens nested lists, row-major. Their lengths must match the shape."""
    for depth, size in enumerate(shape):
        if depth == 0:
            if len(data) != size:
                raise invalid(field, f"{len(data)} entries at the outermost level", allowed=str(size))
            continue
        flat: list[Any] = []
        for entry in data:
            if not isinstance(entry, list) or len(entry) != size:
                raise invalid(
                    field,
                    f"the nesting does not match the shape {list(shape)}",
                    allowed=f"lists of {size} at level {depth + 1}",
                )
            flat += entry
        data = flat
    return data


def _wrong_element(wanted: _Input, data: Sequence[Any], field: Location) -> LeptonError:
    """The error that names the refused element; slow, but needed only after a refusal."""
    for index, value in enumerate(data):
        try:
            if wanted.datatype == "BOOL":
                if type(value) is not bool:
                    raise TypeError
            else:
                struct.pack(f"<{_FORMATS[wanted.datatype]}", value)
        except (TypeError, struct.error, OverflowError):
            return invalid((*field, index), f"is not an element of type {wanted.datatype}", value, _range(wanted))
    return invalid(field, f"are not elements of type {wanted.datatype}", allowed=_range(wanted))


def _range(wanted: _Input) -> str:
    if wanted.dtype.kind in "iu":
        limits = np.iinfo(wanted.dtype)
        return f"a whole number from {limits.min} to {limits.max}"
    return "true or false" if wanted.datatype == "BOOL" else "a number"


def _texts(data: Sequence[Any], field: Location) -> Array:
    texts = np.empty(len(data), object)
    for index, value in enumerate(data):
        texts[index] = _text(value, field, index)
    return texts


def _text(value: Any, field: Location, index: int) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise invalid((*field, index), "not UTF-8 text", allowed="text in UTF-8") from None
    raise invalid((*field, index), "not text", value, "text")


def _raw(wanted: _Input, tensor: WireTensor, count: int, index: int) -> Array:
    data = tensor.data
    if wanted.datatype == "BYTES":
        return _raw_texts(data, count, ("inputs", index, "data"))
    size = count * wanted.dtype.itemsize
    if len(data) != size:
        message = f"{count} elements of {wanted.datatype} are {size} bytes"
        raise invalid(("inputs", index, "data"), message, len(data), f"{size} bytes")
    if wanted.datatype == "BOOL":
        octets = np.frombuffer(data, np.uint8)
        if octets.max(initial=0) > 1:
            raise invalid(
                ("inputs", index, "data"), "are not elements of type BOOL", int(octets.max()), "bytes of 0 or 1"
            )
        return octets.view(np.bool_)
    return np.frombuffer(data, wanted.wire_dtype)


def _raw_texts(data: Any, count: int, field: Location) -> Array:
    """Each element follows its length: 4 bytes, little-endian."""
    if count * _LENGTH.size > len(data):
        raise invalid(field, f"{count} elements need at least {count * 4} bytes", len(data))
    texts = np.empty(count, object)
    view, at = memoryview(data), 0
    for index in range(count):
        start = at + _LENGTH.size
        at = start + _LENGTH.unpack_from(view, at)[0] if start <= len(view) else len(view) + 1
        if at > len(view):
            raise invalid(
                field,
                f"the bytes end within element {index}",
                len(view),
                f"{count} elements, each preceded by its length",
            )
        texts[index] = _text(bytes(view[start:at]), field, index)
    if at != len(view):
        raise invalid(field, f"bytes are left over after {count} elements", len(view) - at, "0")
    return texts


def to_raw(datatype: str, values: Array) -> bytes:
    if datatype != "BYTES":
        return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    encoded = [value if isinstance(value, bytes) else str(value).encode() for value in values.ravel().tolist()]
    return b"".join(part for value in encoded for part in (_LENGTH.pack(len(value)), value))


def to_list(datatype: str, values: Array) -> Any:
    """Flat and row-major, for protobuf's typed lists or a JSON encoder that supports numpy."""
    if datatype != "BYTES":
        return np.ascontiguousarray(values).ravel()
    return [
        each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in values.ravel().tolist()
    ]
