"""Ranged reads of an S3 store over plain HTTP."""

from collections.abc import Mapping


def range_header(offset: int, length: int) -> str:
    return f"bytes={offset}-{offset + length - 1}"


def is_range(status: int, headers: Mapping[str, str], offset: int, length: int) -> bool:
    """Whether an answer holds exactly these bytes. `headers` is looked up in lower case.

    The status is not enough: rclone sends a range with 200, and so does a server that ignores the Range header and
    sends the whole object. Content-Range says which bytes were sent (RFC 9110, 14.4).
    """
    if status not in (200, 206):
        return False
    sent = headers.get("content-range")
    if sent is None:
        return status == 200 and offset == 0 and headers.get("content-length") == str(length)
    return sent.startswith(f"bytes {offset}-{offset + length - 1}/")
