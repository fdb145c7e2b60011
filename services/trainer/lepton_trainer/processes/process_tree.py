"""Finds and ends every process of an attempt.

Descendants are found from their parent; a child subreaper (Linux) also gets those whose own parent has died; the marker
in the environment finds processes that outlive the subreaper. A process group does not include the ranks, since each
has its own session.

Programs may fork continuously during the search. So each process that is found is signalled at once, with its whole
process group, which the kernel signals in one step without a fork in between. The search ends only after two searches
in a row without a running process.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Container, Iterator
from pathlib import Path

import psutil

from lepton_core.processes import LOOK_AGAIN_SECONDS, find_with_variable, is_alive, kill_until_none, pid_is_alive

MARKER = "LEPTON_TREE"
_STOP_SECONDS = 2.0
# Number of searches in a row that must find the same processes, all of them dead.
_QUIET_LOOKS = 3
# The same for the search by marker, which may miss a process that starts and ends between two searches.
_QUIET_MARKER_LOOKS = 20


def kill_descendants(seconds: float | None = None) -> bool:
    """Sends SIGKILL until no descendant runs; returns False if some still run after `seconds` (None: no limit).

    Direct children are left as zombies, so that their exit codes can still be read.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    quiet = 0
    seen: set[int] = set()
    while quiet < _QUIET_LOOKS:
        if deadline is not None and time.monotonic() > deadline:
            return False
        found, living = _signal_descendants(os.getpid(), signal.SIGKILL)
        # A program that forks and exits between two searches leaves a new zombie each time.
        quiet = quiet + 1 if not living and found <= seen else 0
        if living and found <= seen:
            time.sleep(LOOK_AGAIN_SECONDS)
        seen = found
    return True


def kill_marked(marker: str, seconds: float | None = None) -> bool:
    """Sends SIGKILL to every process with the marker `<worker_id>/<attempt_id>`, or any of `<worker_id>`; False as
    above.

    Descendants are included, since a program can remove its marker, and the one of another user may not be readable.
    All are stopped first: when a process dies, its children get init as parent, and are then no longer found as
    descendants.
    """
    stopped = _stop_marked(marker)
    return not stopped or kill_until_none(lambda: _marked_and(stopped, marker), seconds)


def find_marked(marker: str) -> list[psutil.Process]:
    """Running processes, other than this one, with the marker or one below it."""
    return list(_each_marked(marker))


def reap_orphans(own: Container[int]) -> None:
    """Reaps ended processes that this process got as the subreaper; `own` are excluded, since other code waits for
    them."""
    if not _has_ended_child():
        return
    for pid in _children(os.getpid()):
        with contextlib.suppress(ChildProcessError):
            if pid not in own and not pid_is_alive(pid):
                os.waitpid(pid, os.WNOHANG)


def _each_marked(marker: str, seen: set[int] | None = None) -> Iterator[psutil.Process]:
    return find_with_variable(MARKER, lambda value: value == marker or value.startswith(f"{marker}/"), seen)


def _marked_and(others: set[psutil.Process], marker: str) -> Iterator[psutil.Process]:
    yield from _each_marked(marker)
    yield from (process for process in others if is_alive(process))


def _stop_marked(marker: str) -> set[psutil.Process]:
    """Sends SIGSTOP until no new process is found; also returns processes that could not be stopped in time."""
    stopped: set[psutil.Process] = set()
    seen: set[int] = set()
    until = time.monotonic() + _STOP_SECONDS
    quiet = 0
    while quiet < _QUIET_MARKER_LOOKS and time.monotonic() < until:
        quiet += 1
        for process in _each_marked(marker, seen):
            _stop_with_descendants(process, stopped)
            quiet = 0
    # Stopped processes cannot lose their parent, but a process without a marker may have been forked before the stop.
    known = 0
    while len(stopped) > known and time.monotonic() < until:
        known = len(stopped)
        for process in list(stopped):
            _stop_with_descendants(process, stopped)
    return stopped


def _stop_with_descendants(process: psutil.Process, stopped: set[psutil.Process]) -> None:
    """Sends the signal at once, since the process may be about to fork and end."""
    _signal(process.pid, signal.SIGSTOP)
    stopped.add(process)
    for pid in _signal_descendants(process.pid, signal.SIGSTOP)[0]:
        with contextlib.suppress(psutil.NoSuchProcess):
            stopped.add(psutil.Process(pid))


def _signal_descendants(root: int, number: int) -> tuple[set[int], int]:
    """Signals all descendants from the top down; returns the ids that were found, and how many of them are alive."""
    seen: set[int] = set()
    living = 0
    # From the top down: a guard that outlives its program would report the program's death as a failure.
    pending = _children(root)
    while pending:
        pid = pending.pop(0)
        if pid in seen or pid == os.getpid():
            continue
        seen.add(pid)
        below = _children(pid)
        if pid_is_alive(pid):
            living += 1
            _signal(pid, number)
        pending += below
    return seen, living


def _signal(pid: int, number: int) -> None:
    """Signals the process, and its group if the group can contain only processes of the same attempt."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        group = os.getpgid(pid)
        # A group belongs to one session: a session other than ours, or one that we lead, has no other programs.
        if group not in (0, os.getpgid(0)) and (os.getsid(pid) != os.getsid(0) or os.getsid(0) == os.getpid()):
            os.killpg(group, number)


def _children(pid: int) -> list[int]:
    """The children of a process, zombies included, newest first. Empty if the process has ended."""
    if sys.platform == "linux":
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            threads = Path(f"/proc/{pid}/task").iterdir()
            return [int(word) for thread in threads for word in (thread / "children").read_bytes().split()][::-1]
    with contextlib.suppress(psutil.NoSuchProcess):
        return [child.pid for child in psutil.Process(pid).children()]
    return []


def _has_ended_child() -> bool:
    """By one system call: searching all processes of the machine needed a twentieth of a core."""
    if not hasattr(os, "waitid"):
        return True
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False
