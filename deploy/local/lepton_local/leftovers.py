"""Find and end the processes that a runner which was killed has left behind.

Every component carries `LEPTON_PLATFORM=<home's marker>/<component>` in its environment, and its children inherit it.
Only processes with our home's marker are touched.
"""

import signal
import time
from collections.abc import Callable, Iterable

import psutil

from lepton_core.processes import find_with_variable, is_alive, kill_until_none, signal_each

MARKER = "LEPTON_PLATFORM"


def find_marked(marker: str) -> dict[str, list[psutil.Process]]:
    """Living processes of this platform, by component."""
    found: dict[str, list[psutil.Process]] = {}
    for process in find_with_variable(MARKER, lambda value: value.rpartition("/")[0] == marker):
        try:
            component = process.environ().get(MARKER, "").rpartition("/")[2]
        except psutil.Error:
            continue
        found.setdefault(component, []).append(process)
    return found


def kill_marked(marker: str, component: str) -> None:
    """Until none is left: a process may start another one while we look."""
    kill_until_none(lambda: find_with_variable(MARKER, f"{marker}/{component}".__eq__))


def end_leftovers(marker: str, order: Iterable[str], stop_seconds: float, report: Callable[[str], None]) -> int:
    """Drain what a dead runner left, in the usual order; how many processes there were."""
    found = find_marked(marker)
    for component in [*order, *(set(found) - set(order))]:
        processes = found.get(component, [])
        if not processes:
            continue
        report(f"{component}: left behind by a runner that was killed; stopping it")
        signal_each(processes, signal.SIGTERM)
        _wait(processes, stop_seconds)
        kill_marked(marker, component)
    return sum(len(processes) for processes in found.values())


def _wait(processes: Iterable[psutil.Process], seconds: float) -> None:
    """Until they have ended. Not psutil's own wait: orphans stay zombies until init collects them, often late."""
    deadline = time.monotonic() + seconds
    while any(is_alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.02)
