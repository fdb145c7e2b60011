"""Members of a tar file (ustar, GNU and pax), read from front to back by our own code, each part bounded."""

from collections.abc import Iterator
from typing import Protocol

from lepton_core.archives.members import CHUNK_BYTES, Member
from lepton_core.archives.names import MAX_NAME_BYTES, refused

BLOCK = 512
# A pax header holds a name, times and such things; a long name of GNU tar is one name.
MAX_HEADER_BYTES = 64 * 1024

_REGULAR = (b"0", b"\0", b"7")
_FOLDER = b"5"
_PAX, _PAX_GLOBAL, _GNU_NAME = b"x", b"g", b"L"
_LINKS = {b"1": "a hard link", b"2": "a symbolic link", b"K": "a symbolic link"}


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Bounded:
    """Refuses to read more than `most` bytes in all."""

    def __init__(self, file: Readable, most: int) -> None:
        self._file, self._left = file, most

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise refused("the archive unpacks to too much")
        return data


def tar_members(file: Readable) -> Iterator[Member]:
    name = ""
    size: int | None = None
    empty_blocks = 0
    while empty_blocks < 2:
        header = _exactly(file, BLOCK, may_end=True)
        if not header.strip(b"\0"):
            # The end is two empty blocks; some writers leave one, or none.
            empty_blocks = empty_blocks + 1 if header else 2
            continue
        _check_sum(header)
        kind = header[156:157]
        own_size = _number(header[124:136])
        if kind in (_PAX, _PAX_GLOBAL, _GNU_NAME):
            if own_size > MAX_HEADER_BYTES:
                raise refused("a header of the tar file is too long", allowed=f"at most {MAX_HEADER_BYTES} bytes")
            data = _exactly(file, own_size)
            _skip_padding(file, own_size)
            if kind == _GNU_NAME:
                name = _text(data.rstrip(b"\0"))
            elif kind == _PAX:
                name, size = _pax(data, name, size)
            continue
        shown = name or _header_name(header)
        if kind not in _REGULAR and kind != _FOLDER:
            raise refused(f"an entry is {_LINKS.get(kind, 'no regular file')}", shown, "regular files and folders")
        length = own_size if size is None else size
        name, size = "", None
        if kind == _FOLDER or shown.endswith("/"):
            _drain(_content(file, length))
            yield Member(shown, None)
        else:
            content = _content(file, length)
            yield Member(shown, content)
            _drain(content)


def _content(file: Readable, size: int) -> Iterator[bytes]:
    left = size
    while left:
        chunk = _exactly(file, min(left, CHUNK_BYTES))
        left -= len(chunk)
        yield chunk
    _skip_padding(file, size)


def _drain(content: Iterator[bytes]) -> None:
    for _ in content:
        pass


def _skip_padding(file: Readable, size: int) -> None:
    _exactly(file, -size % BLOCK)


def _exactly(file: Readable, size: int, *, may_end: bool = False) -> bytes:
    data = b""
    while len(data) < size:
        more = file.read(size - len(data))
        if not more:
            if may_end and not data:
                return b""
            raise refused("the tar file ends in the middle of an entry")
        data += more
    return data


def _check_sum(header: bytes) -> None:
    # The sum over the header with its own field taken as spaces.
    if _number(header[148:156]) != sum(header[:148]) + sum(header[156:]) + 8 * 0x20:
        raise refused("not a readable tar file: a header is damaged")


def _number(field: bytes) -> int:
    """Octal digits, or GNU's base 256 for sizes beyond 8 GiB."""
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if any(digit not in b"01234567" for digit in digits):
        raise refused("not a readable tar file: a number in a header is damaged")
    return int(digits or b"0", 8)


def _header_name(header: bytes) -> str:
    name = header[:100].split(b"\0", 1)[0]
    is_ustar = header[257:263] == b"ustar\0"
    prefix = header[345:500].split(b"\0", 1)[0] if is_ustar else b""
    return _text(prefix + b"/" + name if prefix else name)


def _text(data: bytes) -> str:
    if len(data) > MAX_NAME_BYTES:
        raise refused("a name is too long", allowed=f"at most {MAX_NAME_BYTES} bytes")
    return data.decode("utf-8", "surrogateescape")


def _pax(data: bytes, name: str, size: int | None) -> tuple[str, int | None]:
    """Records "<length> <key>=<value>\\n"; only the path and the size matter here."""
    while data:
        length_text, space, _ = data.partition(b" ")
        if not space or not length_text.isdigit() or len(length_text) > 6:
            raise refused("not a readable tar file: a pax header is damaged")
        length = int(length_text)
        record, data = data[len(length_text) + 1 : length], data[length:]
        key, _, value = record.rstrip(b"\n").partition(b"=")
        if length <= len(length_text) or not record.endswith(b"\n"):
            raise refused("not a readable tar file: a pax header is damaged")
        if key == b"path":
            name = _text(value)
        elif key == b"size":
            if not value.isdigit() or len(value) > 18:
                raise refused("not a readable tar file: a size is damaged")
            size = int(value)
        elif key == b"linkpath" or key.startswith(b"GNU.sparse"):
            raise refused("an entry is a link or a sparse file", name, "regular files and folders")
    return name, size
