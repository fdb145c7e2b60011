"""What both formats give: members, one after the other, each a folder or a regular file with its content."""

from collections.abc import Iterator
from dataclasses import dataclass

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class Member:
    """`content` must be read to its end before the next member is asked for; None for a folder."""

    name: str
    content: Iterator[bytes] | None
