"""Find and end the processes that a runner which was killed has left behind.

Every part carries `LEPTON_PLATFORM=<home's marker>/<part>` in its environment, and its children inherit it. Only
processes with our home's marker are touched; psutil checks the start time before it signals, so a process id that was
given out again is safe.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterable

import psutil

MARKER = "LEPTON_PLATFORM"


def find_marked(marker: str) -> dict[str, list[psutil.Process]]:
    """Living processes of this platform, by part."""
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        # Other users' processes cannot be read, and ours may end while we look.
        with contextlib.suppress(psutil.Error, OSError):
            value = process.environ().get(MARKER, "")
            home, _, part = value.rpartition("/")
            if home == marker and process.pid != os.getpid() and _lives(process):
                found.setdefault(part, []).append(process)
    return found


def kill_marked(marker: str, part: str) -> None:
    """Until none is left: a process may start another one while we look."""
    while leftover := find_marked(marker).get(part):
        _signal(leftover, psutil.Process.kill)
        _wait(leftover, 1)


def end_orphans(marker: str, order: Iterable[str], stop_seconds: float, report: Callable[[str], None]) -> int:
    """Drain what a dead runner left, in the usual order; how many processes there were."""
    found = find_marked(marker)
    for part in [*order, *(set(found) - set(order))]:
        processes = found.get(part, [])
        if not processes:
            continue
        report(f"{part}: left behind by a runner that was killed; stopping it")
        _signal(processes, psutil.Process.terminate)
        _wait(processes, stop_seconds)
        kill_marked(marker, part)
    return sum(len(processes) for processes in found.values())


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait(processes: Iterable[psutil.Process], seconds: float) -> None:
    """Until they have ended. Not psutil's own wait: orphans stay zombies until init collects them, often late."""
    deadline = time.monotonic() + seconds
    while any(_lives(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.02)


def _signal(processes: Iterable[psutil.Process], send: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            send(process)
