"""Reads files that an attempt's processes wrote as untrusted input: no links; types, names and sizes are checked.

Paths are opened component by component from the workspace, so that a folder that is replaced by a link meanwhile is not
followed. An open file can be passed on as `/dev/fd/<n>`, which is exactly that file.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from lepton_trainer.files.rank_files import FolderLimits, refused

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: otherwise opening a FIFO waits for a writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LocalRankFiles:
    """The `RankFiles` of ranks that run on this machine: their workspace is a folder here.

    `owner`: the user id that files must belong to, but not logs, which the guards write; None: any.
    """

    def __init__(self, root: Path, owner: int | None = None) -> None:
        self._root = root
        self._owner = owner

    def exists(self, path: str) -> bool:
        return os.path.lexists(self._root / path)

    def open(self, path: str) -> AbstractContextManager[int]:
        return open_file(self._root, path, self._owner)

    def open_log(self, path: str) -> AbstractContextManager[int]:
        return open_file(self._root, path)

    def list(self, folder: str, limits: FolderLimits) -> dict[str, int]:
        return list_files(self._root, folder, limits)


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


def _opened(name: str, flags: int, folder: int, shown: str) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        raise
    except ValueError:
        raise refused(ascii(shown), "not the name of a file") from None
    except OSError as error:
        # ELOOP or ENOTDIR: a link, or a file instead of a folder.
        raise refused(shown, f"cannot be opened as a regular file or folder: {error.strerror}") from None
