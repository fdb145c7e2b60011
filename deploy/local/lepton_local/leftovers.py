"""Finds and ends leftovers: processes whose runner was killed.

Every component has `LEPTON_PLATFORM=<home's marker>/<component>` in its environment, and its children inherit it. Only
processes with this home's marker are ended.
"""

import signal
import time
from collections.abc import Callable, Iterable

import psutil

from lepton_core.processes import find_with_variable, is_alive, kill_until_none, signal_each

MARKER = "LEPTON_PLATFORM"


def find_marked(marker: str) -> dict[str, list[psutil.Process]]:
    """Running processes of this platform, by component."""
    found: dict[str, list[psutil.Process]] = {}
    for process in find_with_variable(MARKER, lambda value: value.rpartition("/")[0] == marker):
        try:
            component = process.environ().get(MARKER, "").rpartition("/")[2]
        except psutil.Error:
            continue
        found.setdefault(component, []).append(process)
    return found


def kill_marked(marker: str, component: str) -> None:
    """Kills processes until none is left: one may start another in the meantime."""
    kill_until_none(lambda: find_with_variable(MARKER, f"{marker}/{component}".__eq__))


def end_leftovers(marker: str, order: Iterable[str], stop_seconds: float, report: Callable[[str], None]) -> int:
    """Drains the leftovers of a dead runner, in the usual order; returns the number of processes."""
    found = find_marked(marker)
    for component in [*order, *(set(found) - set(order))]:
        processes = found.get(component, [])
        if not processes:
            continue
        report(f"{component}: still running although its runner was killed; stopping it")
        signal_each(processes, signal.SIGTERM)
        _wait(processes, stop_seconds)
        kill_marked(marker, component)
    return sum(len(processes) for processes in found.values())


def _wait(processes: Iterable[psutil.Process], seconds: float) -> None:
    """Waits until they have ended. Zombies count as ended: init may reap orphans late, for which psutil would wait."""
    deadline = time.monotonic() + seconds
    while any(is_alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.02)
