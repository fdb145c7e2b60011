"""Manifests: a folder as a sorted list of (path, digest, bytes). Pure."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from lepton_core.api.limits import MAX_MANIFEST_FILES
from lepton_core.archives.names import Names, checked_parts
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
    """Checks, sorts and identifies a folder. Paths follow the rules of archives: INVALID for an unsafe path, for two
    paths that are equal (or differ only in case or accents), and for a file that is also a folder."""
    listed = list(entries)
    if not listed:
        raise invalid(field, "a manifest needs at least one file", allowed=f"1 to {MAX_MANIFEST_FILES} files")
    # First, since checking a million names takes seconds.
    if len(listed) > MAX_MANIFEST_FILES:
        raise LeptonError(
            ErrorCode.TOO_LARGE, f"{field}: {len(listed)} files are too many; allowed: at most {MAX_MANIFEST_FILES}"
        )
    files = sorted((_checked(entry, f"{field}[{index}]") for index, entry in enumerate(listed)), key=lambda f: f.path)
    _check_distinct(files, field)
    return Manifest(digest_of(canonical(files)), sum(file.bytes for file in files), tuple(files))


def canonical(files: Sequence[FileLike]) -> bytes:
    """`[["a.png","sha256:…",123],…]`, sorted by path in code point order, without spaces, UTF-8."""
    rows = sorted((file.path, file.digest, file.bytes) for file in files)
    return json.dumps(rows, separators=(",", ":"), ensure_ascii=False).encode()


def _checked(entry: FileLike, field: str) -> File:
    if not 0 <= entry.bytes <= MAX_FILE_BYTES:
        raise invalid(f"{field}.bytes", "is not a size", entry.bytes, f"0 to {MAX_FILE_BYTES}")
    path = check_path(entry.path, f"{field}.path")
    checked_parts(path, f"{field}.path")
    return File(path, check_digest(entry.digest, f"{field}.digest"), entry.bytes)


def _check_distinct(files: Sequence[File], field: str) -> None:
    names = Names(field)
    for file in files:
        names.add_file(tuple(file.path.split("/")))
