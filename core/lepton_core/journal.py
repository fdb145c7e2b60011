"""Append-only record files, written by ranks and scripts, read by the worker's shipper and the registry.

One record is one line, `<crc32, 8 hex digits> <canonical JSON object>\\n`. A process may be killed at any byte, so the
last line can be torn: readers stop before it, and a writer that opens the file again cuts it off.
"""

import fcntl
import json
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lepton_core.errors import ErrorCode, LeptonError

MAX_RECORD_BYTES = 256 * 1024
# A longer integer is read as a float, which is an infinity.
MAX_INTEGER_DIGITS = 400
_PREFIX_BYTES = 9  # eight digits and a space
_BUFFER_BYTES = 64 * 1024
_READ_BYTES = 1024 * 1024


def encode_record(record: Mapping[str, Any]) -> bytes:
    """Raises ValueError for NaN and infinities, which JSON cannot carry, and for a record that is too long."""
    body = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    line = b"%08x %s\n" % (zlib.crc32(body), body)
    if len(line) > MAX_RECORD_BYTES:
        raise ValueError(f"a journal record has {len(line)} bytes; at most {MAX_RECORD_BYTES} are allowed")
    return line


def decode_record(line: bytes) -> dict[str, Any] | None:
    """The record in one line without its newline; None when it is damaged."""
    body = line[_PREFIX_BYTES:]
    if len(line) <= _PREFIX_BYTES or line[_PREFIX_BYTES - 1 : _PREFIX_BYTES] != b" ":
        return None
    if b"%08x" % zlib.crc32(body) != line[: _PREFIX_BYTES - 1]:
        return None
    try:
        # Python refuses to parse integers of thousands of digits; a record that is whole must not stop its readers.
        record = json.loads(body, parse_int=_parse_int)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _parse_int(text: str) -> int | float:
    return int(text) if len(text) <= MAX_INTEGER_DIGITS else float(text)


def parse_records(data: bytes) -> list[dict[str, Any]]:
    """The records in `data`, which must be whole ones. Raises CORRUPT otherwise."""
    if data and not data.endswith(b"\n"):
        raise LeptonError(ErrorCode.CORRUPT, "the journal chunk does not end with a whole record")
    records = [decode_record(line) for line in data.split(b"\n")[:-1]]
    for number, record in enumerate(records, 1):
        if record is None:
            raise LeptonError(ErrorCode.CORRUPT, f"record {number} of the journal chunk is damaged")
    return [record for record in records if record is not None]


def read_chunk(path: Path, offset: int = 0, max_bytes: int = _READ_BYTES, *, name: str = "") -> bytes:
    """Whole, intact records from `offset` on, about `max_bytes` of them; empty when there is no further one.

    A damaged line with an intact one behind it is CORRUPT; at the end of the file it is a torn tail, and left out.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read(max(max_bytes, MAX_RECORD_BYTES))
    except FileNotFoundError:
        return b""
    good = 0
    damaged = False
    while (end := data.find(b"\n", good)) >= 0:
        if decode_record(data[good:end]) is None:
            damaged = True
            break
        good = end + 1
    if damaged and any(decode_record(line) is not None for line in data[good:].split(b"\n")):
        raise LeptonError(ErrorCode.CORRUPT, f"{name or path.name}: the record at byte {offset + good} is damaged")
    return data[:good]


def read_records(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """All whole records from `offset` on, and the offset behind the last of them."""
    records: list[dict[str, Any]] = []
    while chunk := read_chunk(path, offset):
        records += parse_records(chunk)
        offset += len(chunk)
    return records, offset


def append_records(path: Path, lines: Iterable[bytes], *, sync: bool = False) -> None:
    """Appends encoded records. Safe for any number of threads and processes that write to the same file.

    The file is opened at each call: a descriptor that is shared after a fork would also share its lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            # A writer was killed in the middle of a record.
            os.ftruncate(file, whole_bytes(path))
        data = memoryview(b"".join(lines))
        while data:
            data = data[os.write(file, data) :]
        if sync:
            os.fsync(file)
    finally:
        # Not left to close(): a child that was forked meanwhile holds the same lock.
        fcntl.flock(file, fcntl.LOCK_UN)
        os.close(file)


class JournalWriter:
    """Appends records through a small buffer. One writer a file; not safe for several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        end = whole_bytes(path)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        os.ftruncate(self._file, end)
        os.lseek(self._file, end, os.SEEK_SET)
        self._buffer = bytearray()
        self.offset = end

    def append(self, record: Mapping[str, Any]) -> None:
        """The record counts in `offset` at once; others see it after `flush`."""
        line = encode_record(record)
        self._buffer += line
        self.offset += len(line)
        if len(self._buffer) >= _BUFFER_BYTES:
            self.flush()

    def flush(self, *, sync: bool = False) -> None:
        """Hands the buffer to the operating system; with `sync` also to the disk."""
        while self._buffer:
            written = os.write(self._file, self._buffer)
            del self._buffer[:written]
        if sync:
            os.fsync(self._file)

    def close(self) -> None:
        if self._file >= 0:
            self.flush()
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def whole_bytes(path: Path) -> int:
    """How many bytes of the file are whole records; 0 when it does not exist."""
    offset = 0
    while chunk := read_chunk(path, offset):
        offset += len(chunk)
    return offset
