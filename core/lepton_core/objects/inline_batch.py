"""The body that carries a batch of small files over HTTP: one line of JSON, a newline, then the files' bytes.

The line is a list of `[digest, bytes]` in the order of what follows. Base64 in JSON would cost a third more and a copy.
"""

import json
from collections.abc import Sequence

from lepton_core.errors import invalid
from lepton_core.ids import check_digest

MEDIA_TYPE = "application/vnd.lepton.inline-batch"
MAX_FILE_BYTES = 256 * 1024
MAX_BATCH_BYTES = 16 * 1024 * 1024
MAX_BATCH_FILES = 10_000
MAX_INDEX_BYTES = 100 * MAX_BATCH_FILES


def write_batch(files: Sequence[tuple[str, bytes]]) -> bytes:
    index = json.dumps([[digest, len(data)] for digest, data in files], separators=(",", ":"))
    return index.encode() + b"\n" + b"".join(data for _, data in files)


def read_batch(body: bytes) -> list[tuple[str, bytes]]:
    """(digest, data) of each file. Raises INVALID for anything that does not add up."""
    line, newline, rest = body.partition(b"\n")
    try:
        # Some 90 bytes for each file; JSON of 32 MiB would become a gigabyte of lists.
        index = json.loads(line) if newline and len(line) <= MAX_INDEX_BYTES else None
    except (ValueError, RecursionError):
        index = None
    if not isinstance(index, list) or len(index) > MAX_BATCH_FILES:
        raise invalid(
            "body", "no index in the first line", None, f"a JSON list of [digest, bytes], at most {MAX_BATCH_FILES}"
        )
    files: list[tuple[str, bytes]] = []
    offset = 0
    for number, entry in enumerate(index):
        digest, size = _entry(entry, number)
        files.append((digest, rest[offset : offset + size]))
        offset += size
    if offset != len(rest):
        raise invalid("body", f"the index names {offset} bytes, {len(rest)} came", None, "exactly the bytes it names")
    return files


def _entry(entry: object, number: int) -> tuple[str, int]:
    if not isinstance(entry, list) or len(entry) != 2:
        raise invalid(("index", number), "not a pair", entry, "[digest, bytes]")
    digest, size = entry
    # bool is an int to isinstance, and True would be read as one byte.
    if not isinstance(digest, str) or type(size) is not int or not 0 <= size <= MAX_FILE_BYTES:
        raise invalid(("index", number), "not a small file", entry, f"a digest and 0 to {MAX_FILE_BYTES} bytes")
    check_digest(digest, f"index[{number}]")
    return digest, size
