"""Which names may become paths: of the members of an archive, and of the files of a manifest."""

import unicodedata

from lepton_core.errors import LeptonError, invalid

MAX_NAME_BYTES = 1024
MAX_PART_BYTES = 255
MAX_DEPTH = 32
RULE = "relative paths of plain names, without '..', backslashes or control characters"


ARCHIVE = "archive"


def refused(message: str, name: str = "", allowed: str = "", field: str = ARCHIVE) -> LeptonError:
    return invalid(field, message, name or None, allowed)


def checked_parts(name: str, field: str = ARCHIVE) -> tuple[str, ...]:
    """The parts of a path; empty for the top folder itself. Raises INVALID for whatever could lead outside."""
    if len(name.encode("utf-8", "surrogateescape")) > MAX_NAME_BYTES:
        raise refused("a name is too long", name, f"at most {MAX_NAME_BYTES} bytes", field)
    if name.startswith("/") or "\\" in name or ":" in name.split("/", 1)[0][1:2]:
        raise refused("a name is an absolute path, or another system's", name, RULE, field)
    # Most names are entirely printable, which is a quick check.
    if not name.isprintable() and any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise refused("a name holds control characters or is not UTF-8", name, RULE, field)
    # "./data/" is what `tar c .` writes.
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise refused("a name leads out of the archive", name, RULE, field)
    if len(parts) > MAX_DEPTH:
        raise refused("a name is too deep", name, f"at most {MAX_DEPTH} folders", field)
    if any(len(part.encode()) > MAX_PART_BYTES for part in parts):
        raise refused("a part of a name is too long", name, f"at most {MAX_PART_BYTES} bytes", field)
    return parts


class Names:
    """All names of one folder: none twice, also where a file system ignores case or composes accents."""

    def __init__(self, field: str = ARCHIVE) -> None:
        self._field = field
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def add_file(self, parts: tuple[str, ...]) -> None:
        key = _key(parts)
        if key in self._files or key in self._folders:
            raise refused("a name occurs twice (case and accents do not count)", "/".join(parts), field=self._field)
        self.add_folder(parts[:-1])
        self._files.add(key)

    def add_folder(self, parts: tuple[str, ...]) -> None:
        for depth in range(len(parts), 0, -1):
            key = _key(parts[:depth])
            if key in self._files:
                raise refused("a name is both a file and a folder", "/".join(parts[:depth]), field=self._field)
            if key in self._folders:
                return
            self._folders.add(key)


def _key(parts: tuple[str, ...]) -> str:
    return unicodedata.normalize("NFC", "/".join(parts)).casefold()
