"""Whether a file is a well-formed safetensors file.

Not `safetensors.safe_open`: the registry and the SDK would need its wheel, and it reports no name of the file at fault.
"""

import json
import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lepton_core.errors import LeptonError, invalid

MAX_HEADER_BYTES = 32 * 1024 * 1024
# https://github.com/huggingface/safetensors: element sizes in bits, since there are types of 4 and 6 bits.
_ELEMENT_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32,
    "U64": 64, "I64": 64, "F64": 64, "C64": 64, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


def check_safetensors(path: Path) -> None:
    """Raises INVALID unless the file is a well-formed safetensors file: header, then exactly the bytes it describes."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if len(start) < 8:
            raise _no_safetensors(path, "it is too short")
        (header_bytes,) = struct.unpack("<Q", start)
        if header_bytes > min(MAX_HEADER_BYTES, size - 8):
            raise _no_safetensors(path, "its header is longer than the file, or than is allowed")
        text = file.read(header_bytes)
    try:
        header = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise _no_safetensors(path, f"its header is not JSON: {str(error)[:200]}") from None
    if not isinstance(header, dict):
        raise _no_safetensors(path, "its header is no object")
    header.pop("__metadata__", None)
    spans = sorted(_span(path, str(name), entry) for name, entry in header.items())
    end = 0
    for start_at, end_at in spans:
        if start_at != end:
            raise _no_safetensors(path, "its tensors overlap or leave gaps")
        end = end_at
    if end != size - 8 - header_bytes:
        raise _no_safetensors(path, "its tensors do not cover the file")


def _span(path: Path, name: str, entry: Any) -> tuple[int, int]:
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise _no_safetensors(path, f"tensor {name[:100]!r} is described wrongly")
    bits, shape, offsets = _ELEMENT_BITS.get(str(entry["dtype"])), entry["shape"], entry["data_offsets"]
    if bits is None or not _whole_numbers(shape) or not _whole_numbers(offsets) or len(offsets) != 2:
        raise _no_safetensors(path, f"tensor {name[:100]!r} is described wrongly")
    if len(shape) > 64 or (offsets[1] - offsets[0]) * 8 != math.prod(shape) * bits:
        raise _no_safetensors(path, f"tensor {name[:100]!r} has another size than its shape says")
    return offsets[0], offsets[1]


def _whole_numbers(values: Any) -> bool:
    if not isinstance(values, Sequence) or isinstance(values, str):
        return False
    return all(isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63 for value in values)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name occurs twice")
    return result


def _no_safetensors(path: Path, reason: str) -> LeptonError:
    return invalid(path.name, f"not a safetensors file: {reason}")
