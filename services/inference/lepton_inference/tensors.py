"""Tensors as they arrive and leave: JSON lists, raw little-endian bytes, protobuf's typed lists.

Both transports read requests through `decode`, so the same fault is the same error on both. Sizes are compared with
what really arrived before anything is allocated from them.
"""

import math
import struct
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lepton_core.errors import LeptonError, invalid
from lepton_core.signature import NUMPY_TYPES, Datatype, TensorSpec

Array = NDArray[Any]

MAX_DIMENSION = 2**31 - 1
_LENGTH = struct.Struct("<I")

# `array` refuses text, fractions for whole numbers and what is out of range, and is as fast as numpy, which converts all three.
_TYPECODES = {
    Datatype.UINT8: "B",
    Datatype.UINT16: "H",
    Datatype.UINT32: "I",
    Datatype.UINT64: "Q",
    Datatype.INT8: "b",
    Datatype.INT16: "h",
    Datatype.INT32: "i",
    Datatype.INT64: "q",
    Datatype.FP16: "f",
    Datatype.FP32: "f",
    Datatype.FP64: "d",
}


@dataclass(frozen=True, slots=True)
class WireTensor:
    """One input as it came. `data`: bytes-like when raw, else a list (JSON: perhaps nested) or protobuf's typed list."""

    name: str
    datatype: str
    shape: Sequence[int]
    data: Any
    raw: bool = False


class InputTable:
    """The raw inputs of a signature, prepared for checking requests against them."""

    def __init__(self, specs: Sequence[TensorSpec]) -> None:
        self.specs = {spec.name: spec for spec in specs}
        self._types = {spec.name: np.dtype(NUMPY_TYPES[spec.datatype]) for spec in specs}

    def decode(self, tensors: Sequence[WireTensor]) -> dict[str, Array]:
        """Raises INVALID naming the first tensor that does not fit the signature, and how."""
        arrays: dict[str, Array] = {}
        rows = -1
        for index, tensor in enumerate(tensors):
            spec = self.specs.get(tensor.name)
            if spec is None:
                raise invalid(f"inputs[{index}].name", "the model has no such input", tensor.name, _names(self.specs))
            if tensor.name in arrays:
                raise invalid(f"inputs[{index}].name", "this input is given twice", tensor.name)
            field = f"inputs[{index}]"
            count = _count(spec, tensor, field)
            if rows not in (-1, tensor.shape[0]):
                raise invalid(
                    f"{field}.shape", "the inputs have different batch sizes", list(tensor.shape)[:16], f"{rows} rows"
                )
            rows = tensor.shape[0]
            flat = _raw(spec, tensor.data, count, field) if tensor.raw else _listed(spec, tensor, count, field)
            arrays[spec.name] = flat.astype(self._types[spec.name], copy=False).reshape(tensor.shape)
        if len(arrays) != len(self.specs):
            missing = [name for name in self.specs if name not in arrays]
            raise invalid("inputs", f"input {missing[0]!r} is missing", allowed=_names(self.specs))
        return arrays


def _names(specs: Mapping[str, Any]) -> str:
    return ", ".join(specs)[:500]


def _shown_shape(shape: Sequence[int]) -> str:
    return "[" + ", ".join("any" if size == -1 else str(size) for size in shape) + "]"


def _count(spec: TensorSpec, tensor: WireTensor, field: str) -> int:
    """How many elements the shape speaks of."""
    if tensor.datatype != spec.datatype.value:
        raise invalid(f"{field}.datatype", f"not what input {spec.name!r} takes", tensor.datatype, spec.datatype.value)
    shape = tensor.shape
    fits = len(shape) == len(spec.shape)
    if fits:
        for size, wanted in zip(shape, spec.shape, strict=True):
            # `type` and not isinstance: true is no size.
            if type(size) is not int or not 0 < size <= MAX_DIMENSION or wanted not in (-1, size):
                fits = False
                break
    if not fits:
        message = f"not what input {spec.name!r} takes"
        raise invalid(f"{field}.shape", message, list(shape)[:16], f"{_shown_shape(spec.shape)}, each size at least 1")
    return math.prod(shape)


def _listed(spec: TensorSpec, tensor: WireTensor, count: int, field: str) -> Array:
    data: Any = tensor.data
    if isinstance(data, list) and data and isinstance(data[0], list):
        data = _flattened(data, tensor.shape, f"{field}.data")
    try:
        found = len(data)
    except TypeError:
        raise invalid(f"{field}.data", "not a list of elements", data, f"{count} elements") from None
    if isinstance(data, str | bytes | dict):
        raise invalid(f"{field}.data", "not a list of elements", type(data).__name__, f"{count} elements")
    if found != count:
        raise _wrong_count(field, found, count)
    if spec.datatype is Datatype.BYTES:
        return _texts(data, f"{field}.data")
    if spec.datatype is Datatype.BOOL:
        if not set(map(type, data)) <= {bool}:
            raise _wrong_element(spec, data, f"{field}.data")
        return np.array(data, np.bool_)
    try:
        return np.frombuffer(array(_TYPECODES[spec.datatype], data), _TYPECODES[spec.datatype])
    except (TypeError, OverflowError):
        raise _wrong_element(spec, data, f"{field}.data") from None


def _flattened(data: list[Any], shape: Sequence[int], field: str) -> list[Any]:
    """Nested lists, row-major, whose lengths must be those of the shape."""
    for depth, size in enumerate(shape):
        if depth == 0:
            if len(data) != size:
                raise invalid(field, f"{len(data)} entries at the outermost level", allowed=str(size))
            continue
        flat: list[Any] = []
        for entry in data:
            if not isinstance(entry, list) or len(entry) != size:
                raise invalid(
                    field, f"nested unlike the shape {list(shape)}", allowed=f"lists of {size} at level {depth + 1}"
                )
            flat += entry
        data = flat
    return data


def _wrong_count(field: str, found: int, count: int) -> LeptonError:
    return invalid(f"{field}.data", "the number of elements is not that of the shape", found, str(count))


def _wrong_element(spec: TensorSpec, data: Sequence[Any], field: str) -> LeptonError:
    """Finds the element that was refused; this is the slow path, taken once."""
    for index, value in enumerate(data):
        try:
            if spec.datatype is Datatype.BOOL:
                if type(value) is not bool:
                    raise TypeError
            else:
                array(_TYPECODES[spec.datatype], (value,))
        except (TypeError, OverflowError):
            return invalid(f"{field}[{index}]", f"not an element of type {spec.datatype}", value, _range(spec.datatype))
    return invalid(field, f"not elements of type {spec.datatype}", allowed=_range(spec.datatype))


def _range(datatype: Datatype) -> str:
    if datatype is Datatype.BOOL:
        return "true or false"
    kind = np.dtype(NUMPY_TYPES[datatype])
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        return f"a whole number from {limits.min} to {limits.max}"
    return "a number"


def _texts(data: Sequence[Any], field: str) -> Array:
    texts = np.empty(len(data), object)
    for index, value in enumerate(data):
        texts[index] = _text(value, field, index)
    return texts


def _text(value: Any, field: str, index: int) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise invalid(f"{field}[{index}]", "not UTF-8 text", allowed="text in UTF-8") from None
    raise invalid(f"{field}[{index}]", "not text", value, "text")


def _raw(spec: TensorSpec, data: Any, count: int, field: str) -> Array:
    if spec.datatype is Datatype.BYTES:
        return _raw_texts(data, count, field)
    kind = np.dtype(NUMPY_TYPES[spec.datatype]).newbyteorder("<")
    if len(data) != count * kind.itemsize:
        message = f"{count} elements of {spec.datatype} are {count * kind.itemsize} bytes"
        raise invalid(f"{field}.data", message, len(data), f"{count * kind.itemsize} bytes")
    if spec.datatype is Datatype.BOOL:
        octets = np.frombuffer(data, np.uint8)
        if octets.max(initial=0) > 1:
            raise invalid(f"{field}.data", "not elements of type BOOL", int(octets.max()), "bytes of 0 or 1")
        return octets.view(np.bool_)
    return np.frombuffer(data, kind)


def _raw_texts(data: Any, count: int, field: str) -> Array:
    """Each element after its length: 4 bytes, little-endian."""
    if count * _LENGTH.size > len(data):
        raise invalid(f"{field}.data", f"{count} elements need at least {count * 4} bytes", len(data))
    texts = np.empty(count, object)
    view, at = memoryview(data), 0
    for index in range(count):
        start = at + _LENGTH.size
        at = start + _LENGTH.unpack_from(view, at)[0] if start <= len(view) else len(view) + 1
        if at > len(view):
            raise invalid(
                f"{field}.data",
                f"the bytes end within element {index}",
                len(view),
                f"{count} elements, each after its length",
            )
        texts[index] = _text(bytes(view[start:at]), f"{field}.data", index)
    if at != len(view):
        raise invalid(f"{field}.data", f"bytes are left over after {count} elements", len(view) - at, "0")
    return texts


def to_raw(datatype: Datatype, values: Array) -> bytes:
    if datatype is not Datatype.BYTES:
        return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    encoded = [value if isinstance(value, bytes) else str(value).encode() for value in values.ravel().tolist()]
    return b"".join(part for value in encoded for part in (_LENGTH.pack(len(value)), value))


def to_list(datatype: Datatype, values: Array) -> Any:
    """Flat and row-major, for a JSON encoder that knows numpy, or protobuf's typed lists."""
    if datatype is not Datatype.BYTES:
        return np.ascontiguousarray(values).ravel()
    return [
        value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        for value in values.ravel().tolist()
    ]
