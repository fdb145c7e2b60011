"""Reads files that an attempt's processes wrote as untrusted input: no links; types, names and sizes are checked.

Paths are opened component by component from the workspace, so that a folder that is replaced by a link meanwhile is not
followed. An open file can be passed on as `/dev/fd/<n>`, which is exactly that file.
"""

import contextlib
import os
import stat
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from lepton_core.errors import LeptonError
from lepton_trainer.files.rank_files import FolderLimits, Found, FoundFile, refused

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

    def find(self, folder: str, limits: FolderLimits, skip: Collection[str] = ()) -> Found:
        return find_files(self._root, folder, limits, skip)


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
        for path, status in _walk(top, "", limits.depth, _refuse):
            found[path] = status.st_size
            if len(found) > limits.files:
                raise refused(path, f"more than {limits.files} files")
    total = sum(found.values())
    if total > limits.bytes:
        raise refused(folder, f"{total} bytes in total; at most {limits.bytes} are allowed")
    return dict(sorted(found.items()))


def find_files(root: Path, folder: str, limits: FolderLimits, skip: Collection[str] = ()) -> Found:
    """See `RankFiles.find`."""
    found: list[FoundFile] = []
    others: list[LeptonError] = []
    try:
        with open_folder(root, folder) as top:
            for path, status in _walk(top, "", limits.depth, others.append, skip):
                found.append(FoundFile(path, status.st_size, status.st_mtime_ns))
                if len(found) == limits.files:
                    break
    except FileNotFoundError:
        pass
    except LeptonError as error:
        # The folder itself is a link or a file.
        others.append(error)
    return Found(found, len(others))


def _walk(
    folder: int, prefix: str, depth: int, refuse: Callable[[LeptonError], None], skip: Collection[str] = ()
) -> Iterator[tuple[str, os.stat_result]]:
    """Path and status of every regular file. Other entries are skipped if `refuse`, which gets the error, does not
    raise it."""
    if prefix.count("/") > depth:
        refuse(refused(prefix, f"nested deeper than {depth} folders"))
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            path = prefix + entry.name
            if entry.name in skip:
                continue
            if problem := _name_problem(entry.name):
                refuse(refused(path.encode(errors="replace").decode(), problem))
                continue
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                try:
                    inner = _opened(entry.name, _FOLDER, folder, path)
                except LeptonError as error:
                    refuse(error)
                    continue
                try:
                    yield from _walk(inner, f"{path}/", depth, refuse, skip)
                finally:
                    os.close(inner)
            elif stat.S_ISREG(status.st_mode):
                yield path, status
            else:
                refuse(refused(path, "neither a regular file nor a folder"))


def _refuse(error: LeptonError) -> None:
    raise error


def _name_problem(name: str) -> str:
    """Why a manifest cannot have a file of this name; empty if it can."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "a name that is not UTF-8"
    if "\\" in name or any(letter < " " or letter == "\x7f" for letter in name):
        return "a name with a backslash or control character"
    return ""


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
