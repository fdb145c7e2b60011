"""Converts journal records to points. No input or output."""

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from lepton_core.api.limits import MAX_METRIC_KEY_CHARS, MAX_METRICS_PER_RECORD
from lepton_core.errors import invalid
from lepton_core.journal import decode_record

_INT64 = 2**63
_FILE = re.compile(r"metrics-rank(0|[1-9][0-9]{0,5})\.jsonl")


class Point(NamedTuple):
    """`file_offset` is the end of the point's record in its journal."""

    file_offset: int
    key: str
    step: int
    value: float
    at_us: int


def check_file(file: str, rank: int) -> None:
    match = _FILE.fullmatch(file)
    if match is None or int(match[1]) != rank:
        raise invalid("file", "not the metrics journal of this rank", file, f"metrics-rank{rank}.jsonl")


def parse_points(data: bytes, offset: int) -> list[Point]:
    """The points of whole journal records that begin at `offset`. Raises INVALID for a chunk with anything else.

    A whole record of another form is skipped: a user's script may have written it, and must not stop the others.
    """
    points: list[Point] = []
    start = 0
    while start < len(data):
        end = data.find(b"\n", start)
        record = None if end < 0 else decode_record(data[start:end])
        if record is None:
            raise invalid("records", f"no whole, intact journal record at byte {start}", None, "whole records")
        start = end + 1
        points += _points_of(record, offset + start)
    return points


def _points_of(record: dict[str, Any], file_offset: int) -> Iterator[Point]:
    step, at_us, values = record.get("s"), record.get("t"), record.get("k")
    if not (
        _is_int64(step) and _is_int64(at_us) and isinstance(values, dict) and len(values) <= MAX_METRICS_PER_RECORD
    ):
        return
    for key, value in values.items():
        number = _finite(value)
        if number is not None and _is_name(key):
            yield Point(file_offset, key, step, number, at_us)  # type: ignore[arg-type]  # checked above


def _is_name(key: str) -> bool:
    """Whether the databases can store it: PostgreSQL refuses zero characters, and both refuse lone surrogates."""
    lone = any("\ud800" <= character <= "\udfff" for character in key)
    return 0 < len(key) <= MAX_METRIC_KEY_CHARS and "\0" not in key and not lone


def _finite(value: object) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 308 digits
        return None
    return number if math.isfinite(number) else None


def _is_int64(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -_INT64 <= value < _INT64
