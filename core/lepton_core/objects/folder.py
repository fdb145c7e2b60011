"""A local folder as a list of files with their digests."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.paths import check_path

CHUNK_BYTES = 1024 * 1024

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file as it was when it was hashed; `path` is relative to its folder, with `/` between parts."""

    path: str
    source: Path
    digest: str
    bytes: int


def unseen(moved: int) -> None:
    """For callers that show no progress."""


def scan(root: Path, *, skip: Callable[[str], bool] | None = None, advance: Advance = unseen) -> list[LocalFile]:
    """Every regular file below `root` (or `root` itself), sorted by path, hashed.

    `skip` is asked for each relative path, folders too. Raises NOT_FOUND, or INVALID for what cannot travel: links that
    leave the folder, devices, unsafe names, an empty folder.
    """
    if not root.exists():
        raise LeptonError(ErrorCode.NOT_FOUND, f"{root}: no such file or folder")
    if root.is_file():
        return [hashed(root, check_path(root.name, "path"), advance)]
    base = root.resolve()
    files = [hashed(source, path, advance) for path, source in _walk(base, base, skip)]
    if not files:
        raise invalid("path", "the folder holds no files", str(root), "a folder with at least one file")
    return sorted(files, key=lambda file: file.path)


def hashed(source: Path, path: str, advance: Advance = unseen) -> LocalFile:
    """Raises CONFLICT if the file changes while it is read."""
    digest = hashlib.sha256()
    size = 0
    with source.open("rb") as stream:
        before = os.fstat(stream.fileno())
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
            advance(len(chunk))
        after = os.fstat(stream.fileno())
    if size != after.st_size or before.st_mtime_ns != after.st_mtime_ns:
        raise changed(source)
    return LocalFile(path, source, f"sha256:{digest.hexdigest()}", size)


def changed(source: Path) -> LeptonError:
    return LeptonError(ErrorCode.CONFLICT, f"{source} changed while it was being read; try again when it is at rest")


def _walk(folder: Path, base: Path, skip: Callable[[str], bool] | None) -> Iterator[tuple[str, Path]]:
    for entry in sorted(os.scandir(folder), key=lambda found: found.name):
        source = Path(entry.path)
        path = source.relative_to(base).as_posix()
        if skip is not None and skip(path):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(source, base, skip)
            continue
        if entry.is_symlink() and not source.resolve().is_relative_to(base):
            raise invalid("path", f"{source} is a link that leads out of the folder", None, "files within the folder")
        if entry.is_dir():
            raise invalid("path", f"{source} is a link to a folder", None, "folders and files, links to files within")
        if not entry.is_file():
            raise invalid("path", f"{source} is neither file nor folder", None, "regular files and folders")
        yield check_path(path, "path"), source
