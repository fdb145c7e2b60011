"""Find and end every process of an attempt, wherever it has gone.

A parent sees its descendants; a child subreaper (Linux) also those whose own parent died; the marker in the environment
finds what outlived even the subreaper. Process groups reach no rank: torchrun gives each a session of its own.
"""

import contextlib
import os
import time
from collections.abc import Callable, Container

import psutil

MARKER = "LEPTON_TREE"
_LOOK_AGAIN_SECONDS = 0.01
_STOP_SECONDS = 2.0


def kill_descendants(seconds: float | None = None) -> bool:
    """SIGKILL until no descendant is alive; False if some still are after `seconds` (None: no bound).

    Direct children are left as zombies, so that whoever started them can still read their exit code.
    """
    me = psutil.Process()
    return _kill_until_none(lambda: _alive(me.children(recursive=True)), seconds)


def kill_marked(marker: str, seconds: float | None = None) -> bool:
    """SIGKILL every process whose marker is `<worker_id>/<attempt_id>`, or any of `<worker_id>`; False as above.

    And what descends from one, since a program can drop its marker, and another user's need not be readable. All are
    stopped first: while nobody dies, nobody's children pass to init, where they would be anybody's.
    """
    doomed = _stopped(lambda: _with_descendants(find_marked(marker)))
    return not doomed or _kill_until_none(lambda: _alive([*find_marked(marker), *doomed]), seconds)


def find_marked(marker: str) -> list[psutil.Process]:
    """Living processes, other than this one, that carry the marker or one below it."""
    found = []
    for process in psutil.process_iter():
        # Other users' processes cannot be read, and ours may end while we look.
        with contextlib.suppress(psutil.Error, OSError):
            value = process.environ().get(MARKER, "")
            if (value == marker or value.startswith(f"{marker}/")) and process.pid != os.getpid():
                found.append(process)
    return _alive(found)


def _with_descendants(processes: list[psutil.Process]) -> list[psutil.Process]:
    found = set(processes)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            found.update(process.children(recursive=True))
    return [process for process in _alive(list(found)) if process.pid != os.getpid()]


def _stopped(find: Callable[[], list[psutil.Process]]) -> list[psutil.Process]:
    """SIGSTOP to what is found, until nothing new is; what cannot be stopped in time is told all the same."""
    stopped: set[psutil.Process] = set()
    until = time.monotonic() + _STOP_SECONDS
    while (new := [process for process in find() if process not in stopped]) and time.monotonic() < until:
        for process in new:
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.suspend()
        stopped.update(new)
    return list(stopped)


def reap_orphans(own: Container[int]) -> None:
    """Clear away ended processes that came to us as the subreaper; `own` are the ones somebody here waits for."""
    if not _has_ended_child():
        return
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error, ChildProcessError):
            if child.pid not in own and child.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(child.pid, os.WNOHANG)


def _has_ended_child() -> bool:
    """One system call; to look for children among all processes of the machine took a twentieth of a core."""
    if not hasattr(os, "waitid"):
        return True
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


def _alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    living = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.status() != psutil.STATUS_ZOMBIE:
                living.append(process)
    return living


def _kill_until_none(find: Callable[[], list[psutil.Process]], seconds: float | None) -> bool:
    deadline = None if seconds is None else time.monotonic() + seconds
    while living := find():
        for process in living:
            # psutil compares start times first: a process id that was given out again is safe.
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process.kill()
        if deadline is not None and time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_AGAIN_SECONDS)
    return True
