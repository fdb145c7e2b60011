"""A walk through the protobuf of an ONNX file, without onnx or protobuf: is it a ModelProto, with all data inside?

Every field number and wire type must be one that https://github.com/onnx/onnx/blob/main/onnx/onnx.proto knows, so
that other bytes, a pickle for instance, are not taken for a model. Tensors with external data are refused wherever they
stand: in initializers, attributes, subgraphs, functions, training info.

Not `onnx.checker`: it needs onnx and protobuf in the registry and the SDK, and it parses the whole file in native code
before it refuses anything. Whether the operators make sense is found out by the runtime, in a process with limits.
"""

import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lepton_core.errors import LeptonError, invalid

MAX_DEPTH = 64
MAX_MESSAGES = 5_000_000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# What a field may be: a number (varint, also packed), a float (fixed 4 or 8 bytes, also packed), bytes or text, or a
# message by its name.
_NUMBER, _FLOAT, _DOUBLE, _TEXT = "number", "float", "double", "text"
_ALLOWED_WIRES = {_NUMBER: (_VARINT, _BYTES), _FLOAT: (_FIXED32, _BYTES), _DOUBLE: (_FIXED64, _BYTES), _TEXT: (_BYTES,)}

_MESSAGES: dict[str, Mapping[int, str]] = {
    "Model": {
        1: _NUMBER, 2: _TEXT, 3: _TEXT, 4: _TEXT, 5: _NUMBER, 6: _TEXT, 7: "Graph", 8: "OperatorSet", 14: "Pair",
        20: "Training", 25: "Function", 26: "Configuration",
    },
    "Graph": {
        1: "Node", 2: _TEXT, 5: "Tensor", 10: _TEXT, 11: "Value", 12: "Value", 13: "Value", 14: "Annotation",
        15: "SparseTensor", 16: "Pair",
    },
    "Node": {
        1: _TEXT, 2: _TEXT, 3: _TEXT, 4: _TEXT, 5: "Attribute", 6: _TEXT, 7: _TEXT, 8: _TEXT, 9: "Pair", 10: _TEXT,
    },
    "Attribute": {
        1: _TEXT, 2: _FLOAT, 3: _NUMBER, 4: _TEXT, 5: "Tensor", 6: "Graph", 7: _FLOAT, 8: _NUMBER, 9: _TEXT,
        10: "Tensor", 11: "Graph", 13: _TEXT, 14: "Type", 15: "Type", 20: _NUMBER, 21: _TEXT, 22: "SparseTensor",
        23: "SparseTensor",
    },
    "Tensor": {
        1: _NUMBER, 2: _NUMBER, 3: "Segment", 4: _FLOAT, 5: _NUMBER, 6: _TEXT, 7: _NUMBER, 8: _TEXT, 9: _TEXT,
        10: _DOUBLE, 11: _NUMBER, 12: _TEXT, 13: "External", 14: "Location", 16: "Pair",
    },
    "SparseTensor": {1: "Tensor", 2: "Tensor", 3: _NUMBER},
    "Function": {
        1: _TEXT, 2: _NUMBER, 3: _NUMBER, 4: _TEXT, 5: _TEXT, 6: _TEXT, 7: "Node", 8: _TEXT, 9: "OperatorSet",
        10: _TEXT, 11: "Attribute", 12: "Value", 13: _TEXT, 14: "Pair",
    },
    "Training": {1: "Graph", 2: "Graph", 3: "Pair", 4: "Pair"},
    "Segment": {1: _NUMBER, 2: _NUMBER},
    "OperatorSet": {1: _TEXT, 2: _NUMBER},
    "Pair": {1: _TEXT, 2: _TEXT},
    "Annotation": {1: _TEXT, 2: "Pair"},
    # Types and devices hold no tensors; their bytes are not walked.
    "Value": {1: _TEXT, 2: _TEXT, 3: _TEXT, 4: "Pair"},
    "Type": {1: _TEXT, 4: _TEXT, 5: _TEXT, 6: _TEXT, 7: _TEXT, 8: _TEXT, 9: _TEXT},
    "Configuration": {1: _TEXT, 2: _NUMBER, 3: _TEXT},
}  # fmt: skip


@dataclass(frozen=True)
class _Refusal(Exception):
    reason: str


def check_onnx(path: Path) -> None:
    """Raises INVALID unless the file is an ONNX model that holds all its data itself."""
    if path.stat().st_size == 0:
        raise _invalid(path.name, "not an ONNX model: it is empty")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        check_onnx_bytes(data, path.name)


def check_onnx_bytes(data: bytes | mmap.mmap, name: str) -> None:
    """The same for bytes in hand; `name` stands in the error."""
    try:
        seen = _Walk(data).message("Model", 0, len(data), 0)
    except _Refusal as refusal:
        raise _invalid(name, refusal.reason) from None
    if not {1, 7, 8} <= seen:
        raise _invalid(name, "not an ONNX model: version, graph or operator set is missing")


class _Walk:
    def __init__(self, data: bytes | mmap.mmap) -> None:
        self._data = data
        self._messages = 0

    def message(self, name: str, start: int, end: int, depth: int) -> set[int]:
        """Checks one message and all within; answers the numbers of the fields it has."""
        self._messages += 1
        if depth > MAX_DEPTH or self._messages > MAX_MESSAGES:
            raise _Refusal("it is nested too deeply or has too many parts")
        fields = _MESSAGES[name]
        seen = set()
        place = start
        while place < end:
            key, place = self._varint(place, end)
            number, wire = key >> 3, key & 7
            if number not in fields:
                raise _Refusal(f"not an ONNX model: {name} has no field {number}")
            place, content = self._value(place, end, wire)
            self._field(name, fields[number], wire, content, depth)
            seen.add(number)
        return seen

    def _field(self, message: str, kind: str, wire: int, content: tuple[int, int], depth: int) -> None:
        if kind == "External" or (kind == "Location" and self._varint(*content)[0] != 0):
            raise _Refusal("a tensor keeps its data in another file; only models with all data inside are allowed")
        allowed = (_VARINT,) if kind == "Location" else _ALLOWED_WIRES.get(kind, (_BYTES,))
        if wire not in allowed:
            raise _Refusal(f"not an ONNX model: a field of {message} has the wrong type")
        if kind in _MESSAGES:
            self.message(kind, *content, depth + 1)

    def _value(self, place: int, end: int, wire: int) -> tuple[int, tuple[int, int]]:
        """The place behind a value, and where its content begins and ends."""
        if wire == _VARINT:
            after = self._varint(place, end)[1]
            return after, (place, after)
        if wire == _BYTES:
            length, place = self._varint(place, end)
        elif wire in (_FIXED32, _FIXED64):
            length = 4 if wire == _FIXED32 else 8
        else:
            raise _Refusal("not an ONNX model: its encoding is not that of protobuf")
        if length > end - place:
            raise _Refusal("not an ONNX model: a part is longer than what holds it")
        return place + length, (place, place + length)

    def _varint(self, place: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if place >= end:
                raise _Refusal("not an ONNX model: it ends in the middle of a number")
            byte = self._data[place]
            place += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, place
        raise _Refusal("not an ONNX model: a number is too long")


def _invalid(name: str, reason: str) -> LeptonError:
    return invalid(name, reason)
