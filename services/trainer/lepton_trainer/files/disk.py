"""Disk usage of an attempt's folder, and the free space of the disk."""

import errno
import os
import stat
import time
from pathlib import Path

from lepton_core.causes import EndCause
from lepton_core.errors import Cause, ErrorCode, LeptonError

_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def folder_bytes(folder: Path) -> int:
    """Bytes allocated below the folder, without following links; files that vanish meanwhile are not counted.

    Raises TOO_LARGE for folders nested so deeply that their files cannot be counted.
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
                detail = (
                    "the run has nested folders so deeply that their size cannot be counted (limits.max_disk_bytes)"
                )
                raise LeptonError(ErrorCode.TOO_LARGE, detail, cause=Cause(EndCause.DISK_BUDGET)) from None
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
    # Blocks instead of the length, which is larger for a sparse file.
    return status.st_blocks * 512


def free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


# The fastest measured rate of a program, to the page cache, is 3.3 GiB/s; a slower one exceeds the limit by less.
FASTEST_BYTES_PER_SECOND = 4 << 30
LONGEST_PAUSE_SECONDS = 2.0
SHORTEST_PAUSE_SECONDS = 0.0005
# Part of the budget that may be filled between two checks when the budget is nearly used up.
LEAST_SHARE = 0.05
# Pauses after a walk through the folder, in multiples of its duration: the walks take at most half of the time, and a
# tenth while much of the budget is free.
WALK_PAUSES = 1
FAR_WALK_PAUSES = 10


def pause_seconds(used: int, max_bytes: int) -> float:
    """Seconds until the next check: before a program that writes as fast as it can fills the rest of the budget.

    So a budget of 64 MiB or more is exceeded by less than a tenth, unless a large folder takes long to walk.
    """
    seconds = max(max_bytes - used, LEAST_SHARE * max_bytes) / FASTEST_BYTES_PER_SECOND
    return min(max(seconds, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)


class DiskBudget:
    """Ends an attempt before the disk is full, since a full shared disk would stop both database and queue."""

    def __init__(self, folder: Path, max_bytes: int, reserve_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._reserve_bytes = reserve_bytes

    def check(self) -> float:
        """Checks the usage. Returns the seconds until the next check.

        Raises TOO_LARGE if the attempt exceeds its budget, UNAVAILABLE if the free space is less than the reserve.
        """
        started = time.monotonic()
        free = free_bytes(self._folder)
        if free < self._reserve_bytes:
            detail = (
                f"disk full: {shown_bytes(free)} are free on the worker's disk, "
                f"but a reserve of {shown_bytes(self._reserve_bytes)} must stay free"
            )
            parameters = {"free_bytes": free, "reserve_bytes": self._reserve_bytes}
            raise LeptonError(ErrorCode.UNAVAILABLE, detail, cause=Cause(EndCause.DISK_FULL, parameters))
        used = folder_bytes(self._folder)
        if used > self._max_bytes:
            detail = (
                f"the run used {shown_bytes(used)} of disk; its limit (limits.max_disk_bytes) "
                f"is {shown_bytes(self._max_bytes)}"
            )
            parameters = {"used_bytes": used, "max_bytes": self._max_bytes}
            raise LeptonError(ErrorCode.TOO_LARGE, detail, cause=Cause(EndCause.DISK_BUDGET, parameters))
        pause = pause_seconds(used, self._max_bytes)
        walks = FAR_WALK_PAUSES if pause >= LONGEST_PAUSE_SECONDS else WALK_PAUSES
        return max(pause, walks * (time.monotonic() - started))


def shown_bytes(count: int) -> str:
    for size, unit in _UNITS:
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
