"""The processes of attempts, wherever they are: found by the marker that they carry, not by their parents."""

from __future__ import annotations

from collections.abc import Iterable

import psutil

from lepton_trainer.processes.process_tree import MARKER


def processes_marked(*, worker_id: str = "", attempt_id: str = "") -> dict[str, list[psutil.Process]]:
    """Living processes of a worker's attempts, or of one attempt, by role: supervisor, guard, program."""
    found: dict[str, list[psutil.Process]] = {}
    for process in psutil.process_iter():
        try:
            worker, _, attempt = process.environ().get(MARKER, "").partition("/")
            words = process.cmdline()
        except (psutil.Error, OSError):
            continue
        if attempt and worker_id in ("", worker) and attempt_id in ("", attempt) and is_alive(process):
            found.setdefault(_role(words), []).append(process)
    return found


def tree_of(attempt_id: str) -> list[psutil.Process]:
    """All living processes of one attempt."""
    return [process for group in processes_marked(attempt_id=attempt_id).values() for process in group]


def gone(processes: Iterable[psutil.Process]) -> bool:
    """Whether none of them is alive; one that nobody has waited for yet counts as gone."""
    return not any(is_alive(process) for process in processes)


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _role(words: list[str]) -> str:
    line = " ".join(words)
    if "attempt.supervisor" in line:
        return "supervisor"
    if "processes/rank_guard.py" in line:
        return "guard"
    return "program"
