"""Members of a zip file. `zipfile` only lists and inflates; it creates nothing."""

import stat
import struct
import zipfile
from collections.abc import Iterator
from typing import BinaryIO

from lepton_core.archives.members import CHUNK_BYTES, Member
from lepton_core.archives.names import refused

_END_MARK = b"PK\x05\x06"
_END_RECORD = struct.Struct("<4s4H2LH")
_MAX_COMMENT = 65_535
_ENCRYPTED = 0x1


def zip_members(file: BinaryIO, max_files: int) -> Iterator[Member]:
    _check_directory(file, max_files)
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if len(infos) > max_files:
            raise refused("the archive has too many entries", allowed=f"at most {max_files}")
        for info in infos:
            yield _member(archive, info)


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    # zipfile cuts names at a NUL: what would be unpacked is not what stands there.
    if info.orig_filename != info.filename and "\0" in info.orig_filename:
        raise refused("a name holds control characters", info.orig_filename)
    # is_dir() looks at the last character.
    if not info.filename:
        raise refused("an entry has no name")
    if info.flag_bits & _ENCRYPTED:
        raise refused("an entry is encrypted", info.filename)
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise refused("an entry is a link or a device", info.filename, "regular files and folders")
    if info.is_dir() or kind == stat.S_IFDIR:
        return Member(info.filename, None)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise refused("an entry is compressed in an unusual way", info.filename, "stored or deflated entries")
    return Member(info.filename, _content(archive, info))


def _content(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(info) as content:
        while chunk := content.read(CHUNK_BYTES):
            yield chunk


def _check_directory(file: BinaryIO, max_files: int) -> None:
    """Bounds the central directory before zipfile reads it into memory as a whole."""
    size = file.seek(0, 2)
    file.seek(max(0, size - _MAX_COMMENT - _END_RECORD.size))
    tail = file.read()
    place = tail.rfind(_END_MARK)
    if place < 0 or len(tail) - place < _END_RECORD.size:
        raise refused("not a readable zip file: its end is missing")
    directory_bytes = _END_RECORD.unpack_from(tail, place)[5]
    # ZIP64 puts the true size elsewhere; it cannot exceed the file.
    directory_bytes = size if directory_bytes == 0xFFFFFFFF else directory_bytes
    # 46 bytes and a name for each entry, and what extra fields a normal packer adds.
    if directory_bytes > 4096 + max_files * 512:
        raise refused("the archive's list of entries is too long", allowed=f"at most {max_files} entries")
    file.seek(0)
