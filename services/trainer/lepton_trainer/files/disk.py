"""Disk: what an attempt's folder holds, and what is left for everybody else on the machine."""

import errno
import os
import stat
from pathlib import Path

from lepton_core.errors import ErrorCode, LeptonError

_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def folder_bytes(folder: Path) -> int:
    """Bytes allocated below the folder, without following links; files that vanish meanwhile count as nothing.

    Raises TOO_LARGE for folders nested so deep that no path leads there: what lies below would not be counted.
    """
    total = 0
    pending = [str(folder)]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    total += _entry_bytes(entry, pending)
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:
                detail = "the run nested folders too deep for what they hold to be counted (limits.max_disk_bytes)"
                raise LeptonError(ErrorCode.TOO_LARGE, detail) from None
    return total


def _entry_bytes(entry: os.DirEntry[str], pending: list[str]) -> int:
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise
        return 0
    if stat.S_ISDIR(status.st_mode):
        pending.append(entry.path)
    # Blocks, not length: a sparse file takes what was written to it.
    return status.st_blocks * 512


def free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


# What one machine writes at most, to its page cache; a slower disk makes the bound tighter.
FASTEST_BYTES_PER_SECOND = 1 << 30
LONGEST_PAUSE_SECONDS = 2.0
SHORTEST_PAUSE_SECONDS = 0.02


def pause_seconds(used: int, max_bytes: int) -> float:
    """Until the next look: before the rest of the budget can be filled.

    So a budget of 1 GiB or more is exceeded by less than a tenth, as long as looking itself takes little time.
    """
    seconds = (max_bytes - used) / FASTEST_BYTES_PER_SECOND
    return min(max(seconds, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)


class DiskBudget:
    """A full shared disk would stop the database and the queue together, so an attempt is ended before."""

    def __init__(self, folder: Path, max_bytes: int, reserve_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._reserve_bytes = reserve_bytes

    def check(self) -> float:
        """Seconds until it should be asked again.

        Raises TOO_LARGE when the attempt exceeds its budget, UNAVAILABLE when it eats the reserve.
        """
        free = free_bytes(self._folder)
        if free < self._reserve_bytes:
            detail = (
                f"disk full: {shown_bytes(free)} are free on the worker's disk, "
                f"and a reserve of {shown_bytes(self._reserve_bytes)} has to stay free"
            )
            raise LeptonError(ErrorCode.UNAVAILABLE, detail)
        used = folder_bytes(self._folder)
        if used > self._max_bytes:
            detail = (
                f"the run filled {shown_bytes(used)} of disk; its limit (limits.max_disk_bytes) "
                f"is {shown_bytes(self._max_bytes)}"
            )
            raise LeptonError(ErrorCode.TOO_LARGE, detail)
        return pause_seconds(used, self._max_bytes)


def shown_bytes(count: int) -> str:
    for size, unit in _UNITS:
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
