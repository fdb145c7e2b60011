"""Find and end every process of an attempt, wherever it has gone.

A parent sees its descendants; a child subreaper (Linux) also those whose own parent died; the marker in the environment
finds what outlived even the subreaper. Process groups reach no rank: each has a session of its own.

Programs may fork as fast as they can while we look. So whatever is seen is signalled at once, with its whole process
group (the kernel signals a group in one step, with no fork in between), and "none is left" has to be seen twice.
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
# Looks in a row that must find the same processes, all of them dead.
_QUIET_LOOKS = 3
# The same by the marker, where a process may come and go between two looks: the more looks, the surer.
_QUIET_MARKER_LOOKS = 20


def kill_descendants(seconds: float | None = None) -> bool:
    """SIGKILL until no descendant is alive; False if some still are after `seconds` (None: no bound).

    Direct children are left as zombies, so that whoever started them can still read their exit code.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    quiet = 0
    seen: set[int] = set()
    while quiet < _QUIET_LOOKS:
        if deadline is not None and time.monotonic() > deadline:
            return False
        found, living = _signal_descendants(os.getpid(), signal.SIGKILL)
        # A program that forks and exits faster than we look leaves a new zombie each time.
        quiet = quiet + 1 if not living and found <= seen else 0
        if living and found <= seen:
            time.sleep(LOOK_AGAIN_SECONDS)
        seen = found
    return True


def kill_marked(marker: str, seconds: float | None = None) -> bool:
    """SIGKILL every process whose marker is `<worker_id>/<attempt_id>`, or any of `<worker_id>`; False as above.

    And what descends from one, since a program can drop its marker, and another user's need not be readable. All are
    stopped first: while nobody dies, nobody's children pass to init, where they would be anybody's.
    """
    stopped = _stop_marked(marker)
    return not stopped or kill_until_none(lambda: _marked_and(stopped, marker), seconds)


def find_marked(marker: str) -> list[psutil.Process]:
    """Living processes, other than this one, that carry the marker or one below it."""
    return list(_each_marked(marker))


def reap_orphans(own: Container[int]) -> None:
    """Clear away ended processes that came to us as the subreaper; `own` are the ones somebody here waits for."""
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
    """SIGSTOP until nothing new is found; what cannot be stopped in time is given back all the same."""
    stopped: set[psutil.Process] = set()
    seen: set[int] = set()
    until = time.monotonic() + _STOP_SECONDS
    quiet = 0
    while quiet < _QUIET_MARKER_LOOKS and time.monotonic() < until:
        quiet += 1
        for process in _each_marked(marker, seen):
            _stop_with_descendants(process, stopped)
            quiet = 0
    # Those without a marker cannot come to another parent any more, but some may have been forked while we looked.
    known = 0
    while len(stopped) > known and time.monotonic() < until:
        known = len(stopped)
        for process in list(stopped):
            _stop_with_descendants(process, stopped)
    return stopped


def _stop_with_descendants(process: psutil.Process, stopped: set[psutil.Process]) -> None:
    """At once, since it may be about to fork and end."""
    _signal(process.pid, signal.SIGSTOP)
    stopped.add(process)
    for pid in _signal_descendants(process.pid, signal.SIGSTOP)[0]:
        with contextlib.suppress(psutil.NoSuchProcess):
            stopped.add(psutil.Process(pid))


def _signal_descendants(root: int, number: int) -> tuple[set[int], int]:
    """Signal all below the process, from the top down: the ids that were seen, and how many of them are alive."""
    seen: set[int] = set()
    living = 0
    # From the top down: a guard that outlived its program would report the program's death as its failure.
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
    """The process, and its group where the group can hold nothing but descendants of the same attempt."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        group = os.getpgid(pid)
        # Groups do not reach over sessions: in one that is not ours, or that we lead, nobody else's programs are.
        if group not in (0, os.getpgid(0)) and (os.getsid(pid) != os.getsid(0) or os.getsid(0) == os.getpid()):
            os.killpg(group, number)


def _children(pid: int) -> list[int]:
    """Of a process, zombies included; the newest first. Empty when it has gone."""
    if sys.platform == "linux":
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            threads = Path(f"/proc/{pid}/task").iterdir()
            return [int(word) for thread in threads for word in (thread / "children").read_bytes().split()][::-1]
    with contextlib.suppress(psutil.NoSuchProcess):
        return [child.pid for child in psutil.Process(pid).children()]
    return []


def _has_ended_child() -> bool:
    """One system call; to look for children among all processes of the machine took a twentieth of a core."""
    if not hasattr(os, "waitid"):
        return True
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False
