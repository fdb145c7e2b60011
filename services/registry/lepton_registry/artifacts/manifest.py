"""Manifests: a folder as a sorted list of (path, digest, bytes). Pure."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from lepton_core.api.limits import MAX_MANIFEST_FILES
from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.ids import check_digest, digest_of
from lepton_core.paths import check_path

MAX_FILE_BYTES = 1 << 50


class FileLike(Protocol):
    """One file of a folder: a resource, a message or a row."""

    @property
    def path(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def bytes(self) -> int: ...


@dataclass(frozen=True, slots=True)
class File:
    path: str
    digest: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Checked files, sorted by path, and the digest of their canonical form."""

    digest: str
    bytes: int
    files: tuple[File, ...]


def build_manifest(entries: Iterable[FileLike], field: str = "files") -> Manifest:
    """Check, sort and name a folder. Raises INVALID for an unsafe path, a path twice, a file that is also a folder."""
    files = sorted((_checked(entry, f"{field}[{index}]") for index, entry in enumerate(entries)), key=lambda f: f.path)
    if not files:
        raise invalid(field, "a manifest needs at least one file", allowed=f"1 to {MAX_MANIFEST_FILES} files")
    if len(files) > MAX_MANIFEST_FILES:
        raise LeptonError(
            ErrorCode.TOO_LARGE, f"{field}: {len(files)} files are too many; allowed: at most {MAX_MANIFEST_FILES}"
        )
    _check_distinct(files, field)
    return Manifest(digest_of(canonical(files)), sum(file.bytes for file in files), tuple(files))


def canonical(files: Sequence[FileLike]) -> bytes:
    """`[["a.png","sha256:…",123],…]`, sorted by path in code point order, without spaces, UTF-8."""
    rows = sorted((file.path, file.digest, file.bytes) for file in files)
    return json.dumps(rows, separators=(",", ":"), ensure_ascii=False).encode()


def _checked(entry: FileLike, field: str) -> File:
    if not 0 <= entry.bytes <= MAX_FILE_BYTES:
        raise invalid(f"{field}.bytes", "is not a size", entry.bytes, f"0 to {MAX_FILE_BYTES}")
    return File(check_path(entry.path, f"{field}.path"), check_digest(entry.digest, f"{field}.digest"), entry.bytes)


def _check_distinct(files: Sequence[File], field: str) -> None:
    paths = {file.path for file in files}
    if len(paths) < len(files):
        twice = next(a.path for a, b in pairwise(files) if a.path == b.path)
        raise invalid(field, "a path occurs twice", twice, "each path once")
    for path in paths:
        folder = path
        while "/" in folder:
            folder = folder.rpartition("/")[0]
            if folder in paths:
                raise invalid(
                    field, f"{folder!r} is a file and also the folder of {path!r}", folder, "one or the other"
                )
