"""Find and end processes by a marker in their environment, wherever they have gone. Needs psutil (extra `processes`).

Every process inherits its parent's environment, so the marker outlives parents, sessions and process groups. On Linux
`/proc` is read directly: a program that forks again and again lives for a millisecond between two forks, and a list of
processes that takes longer than that to make holds only dead ones.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil

_LINUX = sys.platform == "linux"
LOOK_AGAIN_SECONDS = 0.01


def is_alive(process: psutil.Process) -> bool:
    """False for a zombie, unless threads of it still run: a program may end its first thread alone."""
    try:
        return process.is_running() and pid_is_alive(process.pid)
    except psutil.NoSuchProcess:
        return False


def pid_is_alive(pid: int) -> bool:
    """As `is_alive`, of whatever process has the id now."""
    if not _LINUX:
        with contextlib.suppress(psutil.NoSuchProcess):
            return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
        return False
    try:
        # "pid (name) state …": the name may hold anything, the 18th field after it is the number of threads.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return False
    return fields[0] not in (b"Z", b"X") or int(fields[17]) > 1


def pids() -> list[int]:
    """Ids of all processes, the highest first, which are mostly the newest."""
    if not _LINUX:
        return sorted(psutil.pids(), reverse=True)
    return sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True)  # noqa: PTH208 - speed


def find_with_variable(
    name: str, accept: Callable[[str], bool], seen: set[int] | None = None
) -> Iterator[psutil.Process]:
    """Living processes, other than this one, whose environment has the variable with a value that is accepted.

    Each is yielded as soon as it is seen, so that the caller can act while it is still there. Processes of other users
    that cannot be read are passed over. `seen`: ids not to look at again; those of this look are added. With it a look
    takes less time than a fork, but misses a process that had just been forked and was given its environment later.
    """
    for pid in pids():
        if seen is not None:
            if pid in seen:
                continue
            seen.add(pid)
        # It may end while we look.
        with contextlib.suppress(psutil.Error, OSError):
            value = _variable(pid, name)
            if value is not None and accept(value) and pid != os.getpid() and pid_is_alive(pid):
                yield psutil.Process(pid)


def signal_each(processes: Iterable[psutil.Process], number: int) -> bool:
    """Whether there were any. psutil compares start times first: a process id that was given out again is safe."""
    found = False
    for process in processes:
        found = True
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            process.send_signal(number)
    return found


def kill_until_none(find: Callable[[], Iterable[psutil.Process]], seconds: float | None = None) -> bool:
    """SIGKILL to what `find` gives until it gives nothing; False if it still does after `seconds` (None: no bound).

    Nothing has to be found twice in a row: what forks and ends while we look may be missed once.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    while signal_each(find(), signal.SIGKILL) or signal_each(find(), signal.SIGKILL):
        if deadline is not None and time.monotonic() > deadline:
            return False
        time.sleep(LOOK_AGAIN_SECONDS)
    return True


def _variable(pid: int, name: str) -> str | None:
    if not _LINUX:
        return psutil.Process(pid).environ().get(name)
    try:
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:  # noqa: PTH123 - speed
            data = file.readall()
    except ProcessLookupError:
        data = _environment_of_threads(pid)
    prefix = f"{name}=".encode()
    for entry in data.split(b"\0"):
        if entry.startswith(prefix):
            return entry[len(prefix) :].decode(errors="replace")
    return None


def _environment_of_threads(pid: int) -> bytes:
    """Of a process whose first thread has ended: the kernel then shows it only at another thread."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            if data := (thread / "environ").read_bytes():
                return data
    return b""
