"""Files that the ranks of an attempt wrote: the port to where they lie, and what is read through it.

All of it is hostile input: the ranks run code of others. Sizes are bounded, JSON is checked, links lead nowhere.
"""

import contextlib
import os
import sys
from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.validation import read_document

MAX_JSON_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class FolderLimits:
    files: int
    bytes: int
    depth: int = 8


@dataclass(frozen=True)
class FoundFile:
    """`path` is relative to the searched folder; `modified_ns` is the time of its last change, as its owner set it."""

    path: str
    bytes: int
    modified_ns: int


@dataclass(frozen=True)
class Found:
    """Regular files below a folder, and the number of other entries: links, odd names, folders that are too deep."""

    files: list[FoundFile]
    others: int


class RankFiles(Protocol):
    """Paths are relative to the workspace, with `/` between parts.

    A file becomes visible no earlier than what was written before it: journals and outcome.json name other files.
    Raises FileNotFoundError for what does not exist, and INVALID for anything but a regular file of the attempt.
    """

    def exists(self, path: str) -> bool:
        """Whether there is anything of this name, of whatever kind."""

    def open(self, path: str) -> AbstractContextManager[int]:
        """A descriptor to read and seek in: of the file, or of a copy of what has come of it so far."""

    def open_log(self, path: str) -> AbstractContextManager[int]:
        """The same for a log, which the placement writes and not the rank: what it holds is never taken as a result."""

    def list(self, folder: str, limits: FolderLimits) -> dict[str, int]:
        """Path (relative to `folder`) and size of every file below it, in order; empty when it does not exist."""

    def find(self, folder: str, limits: FolderLimits, skip: Collection[str] = ()) -> Found:
        """Regular files below `folder`, where other entries are counted, not refused; the search ends at the limit of
        files. Entries with a name in `skip` do not count."""


def refused(path: str, why: str) -> LeptonError:
    return LeptonError(ErrorCode.INVALID, f"{path}: {why}")


def descriptor_path(descriptor: int) -> Path:
    """A path that opens what the descriptor has open, with a position of its own."""
    if sys.platform == "darwin":
        import fcntl

        # There, /dev/fd shares the position, which parts that are sent side by side may not.
        return Path(os.fsdecode(fcntl.fcntl(descriptor, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0")))
    return Path(f"/dev/fd/{descriptor}")


def read_bytes(files: RankFiles, path: str, max_bytes: int) -> bytes:
    with files.open(path) as descriptor, open(descriptor, "rb", closefd=False) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise refused(path, f"larger than {max_bytes} bytes")
    return data


def read_tail(files: RankFiles, path: str, max_bytes: int) -> bytes:
    """The last bytes of a log; empty when it is missing or not a file."""
    with contextlib.suppress(OSError, LeptonError), files.open_log(path) as descriptor:
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, max_bytes, max(0, size - max_bytes))
    return b""


def read_json_object(files: RankFiles, path: str) -> dict[str, Any] | None:
    """None when the file does not exist. INVALID for what cannot be stored and shown as one JSON object."""
    try:
        data = read_bytes(files, path, MAX_JSON_BYTES)
    except FileNotFoundError:
        return None
    try:
        return read_document(data, path, max_bytes=MAX_JSON_BYTES)
    except LeptonError as error:
        raise refused(path, error.fields[0].message) from None
