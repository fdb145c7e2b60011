"""Writes the checked members of an archive into an empty folder, and counts as it goes."""

import gzip
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lepton_core.archives.members import CHUNK_BYTES, Member
from lepton_core.archives.names import Names, checked_parts, refused
from lepton_core.archives.tars import Bounded, tar_members
from lepton_core.archives.zips import zip_members
from lepton_core.errors import LeptonError

_GZIP_MARK = b"\x1f\x8b"
_ZIP_MARKS = (b"PK\x03\x04", b"PK\x05\x06")
# What zipfile, gzip and zlib raise for damaged or unusual content.
_DAMAGE = (
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    UnicodeDecodeError,  # a name that is marked as UTF-8 and is not UTF-8
)
_USTAR_PLACE = slice(257, 262)
# of one entry, with its own long name and padding
_HEADER_BYTES = 4096
# Below this a high ratio is no bomb: a table of zeros packs a thousandfold.
_RATIO_FREE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class ArchiveLimits:
    max_bytes: int = 8 * 1024**3
    max_file_bytes: int = 8 * 1024**3
    max_files: int = 100_000
    # of unpacked to packed bytes
    max_ratio: int = 200


@dataclass(frozen=True)
class Unpacked:
    files: int
    bytes: int


def unpack(source: Path | BinaryIO, destination: Path, limits: ArchiveLimits | None = None) -> Unpacked:
    """Unpacks into `destination`, which must be empty or absent. Raises INVALID, and leaves it empty, for an archive
    that is damaged, holds anything but regular files and folders, has a name that leads elsewhere, or is too large.
    """
    limits = limits or ArchiveLimits()
    destination.mkdir(parents=True, exist_ok=True)
    if any(destination.iterdir()):
        raise ValueError(f"{destination} is not empty")
    if not isinstance(source, Path):
        return _unpack(source, destination, limits)
    with source.open("rb") as file:
        return _unpack(file, destination, limits)


def _unpack(file: BinaryIO, destination: Path, limits: ArchiveLimits) -> Unpacked:
    packed_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    writer = _Writer(destination, limits, packed_bytes)
    try:
        for member in _members(file, limits, writer.most_bytes):
            writer.write(member)
    except _DAMAGE as error:
        _empty(destination)
        raise refused(f"not a readable archive: {error}") from None
    except (OSError, LeptonError):
        _empty(destination)
        raise
    return Unpacked(writer.files, writer.bytes)


def _members(file: BinaryIO, limits: ArchiveLimits, most_bytes: int) -> Iterator[Member]:
    start = file.read(512)
    file.seek(0)
    if start.startswith(_ZIP_MARKS):
        return zip_members(file, limits.max_files)
    if start.startswith(_GZIP_MARK):
        # Headers without end would never become a member to count.
        most = most_bytes + _HEADER_BYTES * limits.max_files
        return _to_the_end(Bounded(gzip.GzipFile(fileobj=file), most))
    if start[_USTAR_PLACE] == b"ustar":
        return tar_members(file)
    raise refused("not an archive that is understood", allowed="zip, tar and tar.gz")


def _to_the_end(unpacked: Bounded) -> Iterator[Member]:
    """A tar file within gzip, whose checksum stands last: only who reads that far knows that the bytes are whole."""
    yield from tar_members(unpacked)
    while unpacked.read(CHUNK_BYTES):
        pass


class _Writer:
    def __init__(self, destination: Path, limits: ArchiveLimits, packed_bytes: int) -> None:
        self._destination, self._limits = destination, limits
        self.most_bytes = min(limits.max_bytes, max(_RATIO_FREE_BYTES, packed_bytes * limits.max_ratio))
        self._names = Names()
        self._entries = 0
        self.files = 0
        self.bytes = 0

    def write(self, member: Member) -> None:
        self._entries += 1
        if self._entries > self._limits.max_files:
            raise refused("the archive has too many entries", allowed=f"at most {self._limits.max_files}")
        parts = checked_parts(member.name)
        if member.content is None:
            self._names.add_folder(parts)
            self._destination.joinpath(*parts).mkdir(parents=True, exist_ok=True)
            return
        if not parts:
            raise refused("a file has no name", member.name)
        self._names.add_file(parts)
        target = self._destination.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._write_content(member.name, member.content, target)
        self.files += 1

    def _write_content(self, name: str, content: Iterator[bytes], target: Path) -> None:
        written = 0
        # Every name is new, and no link was ever made: exclusive creation cannot end anywhere else.
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        with os.fdopen(descriptor, "wb", buffering=CHUNK_BYTES) as file:
            for chunk in content:
                written += len(chunk)
                self.bytes += len(chunk)
                if written > self._limits.max_file_bytes:
                    raise refused("a file is too large", name, f"at most {self._limits.max_file_bytes} bytes")
                if self.bytes > self.most_bytes:
                    raise refused("the archive unpacks to too much", name, f"at most {self.most_bytes} bytes")
                file.write(chunk)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
