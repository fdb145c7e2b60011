"""Reads files that an attempt's processes wrote as untrusted input: no links; types, names and sizes are checked.

Paths are opened component by component from the workspace, so that a folder that is replaced by a link meanwhile is not
followed. An open file can be passed on as `/dev/fd/<n>`, which is exactly that file.
"""

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lepton_core.errors import ErrorCode, LeptonError

MAX_JSON_BYTES = 4 * 1024 * 1024
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: otherwise opening a FIFO waits for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class FolderLimits:
    files: int
    bytes: int
    depth: int = 8


def refused(path: str, why: str) -> LeptonError:
    return LeptonError(ErrorCode.INVALID, f"{path}: {why}")


@contextlib.contextmanager
def open_file(root: Path, relative: str, owner: int | None = None) -> Iterator[int]:
    """A descriptor of a regular file below `root`. Raises FileNotFoundError if there is none, INVALID for other types.

    `owner`: the user id that must own it. A script that runs as another user may hard-link a file that it cannot read;
    such a file has another owner, also after its other name was removed.
    """
    *folders, name = relative.split("/")
    with open_folder(root, "/".join(folders)) as folder:
        descriptor = _opened(name, _FILE, folder, relative)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise refused(relative, "not a regular file")
        # A second name may be anywhere on the disk, so the file may belong to something else.
        if found.st_nlink > 1:
            raise refused(relative, "a hard link; it must be a file of the attempt")
        if owner is not None and found.st_uid != owner:
            raise refused(relative, "another user's file; it must be a file of the attempt")
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def open_folder(root: Path, relative: str) -> Iterator[int]:
    """A descriptor of a folder below `root` (which itself is trusted)."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in [part for part in relative.split("/") if part]:
            if part in (".", ".."):
                raise refused(relative, "must not contain '.' or '..'")
            inner = _opened(part, _FOLDER, descriptor, relative)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def descriptor_path(descriptor: int) -> Path:
    return Path(f"/dev/fd/{descriptor}")


def read_bytes(root: Path, relative: str, max_bytes: int, owner: int | None = None) -> bytes:
    with open_file(root, relative, owner) as descriptor, open(descriptor, "rb", closefd=False) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise refused(relative, f"larger than {max_bytes} bytes")
    return data


def read_tail(root: Path, relative: str, max_bytes: int) -> bytes:
    """The last bytes of a file; empty if it is missing or not allowed."""
    with contextlib.suppress(OSError, LeptonError), open_file(root, relative) as descriptor:
        size = os.fstat(descriptor).st_size
        return os.pread(descriptor, max_bytes, max(0, size - max_bytes))
    return b""


def read_json_object(root: Path, relative: str, owner: int | None = None) -> dict[str, Any] | None:
    """None if the file does not exist. Raises INVALID unless it is one JSON object without NaN or infinity."""
    try:
        data = read_bytes(root, relative, MAX_JSON_BYTES, owner)
    except FileNotFoundError:
        return None
    try:
        value = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise refused(relative, f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise refused(relative, "not a JSON object")
    return value


def list_files(root: Path, folder: str, limits: FolderLimits) -> dict[str, int]:
    """Path (relative to `folder`) and size of every file below it, sorted; empty if the folder does not exist."""
    found: dict[str, int] = {}
    with contextlib.suppress(FileNotFoundError), open_folder(root, folder) as top:
        _walk(top, "", found, limits)
    total = sum(found.values())
    if total > limits.bytes:
        raise refused(folder, f"{total} bytes in total; at most {limits.bytes} are allowed")
    return dict(sorted(found.items()))


def _walk(folder: int, prefix: str, found: dict[str, int], limits: FolderLimits) -> None:
    if prefix.count("/") > limits.depth:
        raise refused(prefix, f"nested deeper than {limits.depth} folders")
    with os.scandir(folder) as entries:
        for entry in entries:
            path = prefix + entry.name
            _check_name(entry.name, path)
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                inner = _opened(entry.name, _FOLDER, folder, path)
                try:
                    _walk(inner, f"{path}/", found, limits)
                finally:
                    os.close(inner)
                continue
            if not stat.S_ISREG(status.st_mode):
                raise refused(path, "neither a regular file nor a folder")
            found[path] = status.st_size
            if len(found) > limits.files:
                raise refused(path, f"more than {limits.files} files")


def _check_name(name: str, path: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise refused(path.encode(errors="replace").decode(), "a name that is not UTF-8") from None
    if "\\" in name or any(letter < " " or letter == "\x7f" for letter in name):
        raise refused(path, "a name with a backslash or control character")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not allowed")


def _opened(name: str, flags: int, folder: int, shown: str) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        # ELOOP or ENOTDIR: a link, or a file instead of a folder.
        raise refused(shown, f"cannot be opened as a regular file or folder: {error.strerror}") from None
