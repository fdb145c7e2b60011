"""Paths of files within a folder, as they travel: in manifests, archives and workspaces."""

import unicodedata

from lepton_core.errors import invalid

MAX_PATH_BYTES = 1024
PATH_RULE = (
    f"a relative POSIX path without '.', '..', empty parts or control characters, at most {MAX_PATH_BYTES} bytes"
)


def check_path(path: str, field: str) -> str:
    """Readers make folders of these: whatever could leave the folder, or mean two things, is refused (INVALID)."""
    # Fast way out for plain names: the full check costs some microseconds for each file.
    if path.isascii() and path.replace(".", "").isalnum() and path.strip(".") and len(path) < MAX_PATH_BYTES:
        return path
    try:
        too_long = len(path.encode()) > MAX_PATH_BYTES
    except UnicodeEncodeError:
        raise invalid(field, "is not valid Unicode", ascii(path), PATH_RULE) from None
    unsafe = (
        too_long
        or "\\" in path
        or any(part in ("", ".", "..") for part in path.split("/"))
        or any(unicodedata.category(character) == "Cc" for character in path)
    )
    if unsafe:
        raise invalid(field, "is not a path that is safe on every machine", path, PATH_RULE)
    return path
