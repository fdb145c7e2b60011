"""Starts components, watches them, restarts those that crash, and drains them in order."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from lepton_core.errors import ErrorCode, LeptonError
from lepton_local.components import Component
from lepton_local.home import Home
from lepton_local.leftovers import MARKER, kill_marked

POLL_SECONDS = 0.05
FIRST_RETRY_SECONDS = 0.5
LONGEST_RETRY_SECONDS = 30.0
# A component that has served for this long has recovered: its next crash counts as the first one.
HEALTHY_SECONDS = 60.0
MAX_LOG_BYTES = 10 * 1024 * 1024
KEPT_LOGS = 3
TAIL_BYTES = 4000


class State(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass
class Watched:
    """A component and its state. Times are of the monotonic clock."""

    component: Component
    log: Path
    state: State = State.WAITING
    process: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    retry_at: float = 0.0
    crashes_in_a_row: int = 0
    restarts: int = 0
    last_exit: str = ""
    log_start: int = 0


Report = Callable[[Watched, str], None]


class Supervisor:
    """`report(watched, text)` is called at every change of a component's state."""

    def __init__(
        self, components: Iterable[Component], home: Home, *, report: Report, environ: Mapping[str, str]
    ) -> None:
        self.watched = {
            component.name: Watched(component, home.logs / f"{component.name}.log") for component in components
        }
        self._home = home
        self._marker = home.marker
        self._report = report
        self._environ = environ

    def start(self, seconds: float, stop: threading.Event) -> bool:
        """Starts all components, each after those that it needs. Returns False if `stop` was set meanwhile.

        Raises FAILED_PRECONDITION if a component ends by itself, TIMEOUT if one is not ready in time.
        """
        deadline = time.monotonic() + seconds
        while any(each.state is not State.READY for each in self.watched.values()):
            for each in self.watched.values():
                if each.state is State.WAITING and self._all_ready(each.component.after):
                    self._spawn(each)
            self._look(first_start=True)
            if stop.wait(POLL_SECONDS):
                return False
            if time.monotonic() > deadline:
                late = ", ".join(name for name, each in self.watched.items() if each.state is not State.READY)
                raise LeptonError(ErrorCode.TIMEOUT, f"not ready after {seconds:g} s: {late}; logs: {self._home.logs}")
        return True

    def watch(self, stop: threading.Event) -> None:
        """Restarts components that end by themselves, until `stop` is set."""
        while not stop.wait(2 * POLL_SECONDS):
            self._look()

    def drain(self, order: Iterable[str], hurry: Callable[[], bool]) -> None:
        """Sends SIGTERM to one component after the other; each is killed at its deadline, or when `hurry()` is true.

        Components that are not yet being stopped are still restarted: a trainer that drains needs the registry.
        """
        for name in order:
            if name in self.watched and self.watched[name].state is not State.WAITING:
                self._stop(self.watched[name], hurry)

    def _stop(self, each: Watched, hurry: Callable[[], bool]) -> None:
        if each.process is None:
            if each.state is not State.STOPPED:
                self._change(each, State.STOPPED, "stopped")
            return
        self._change(each, State.STOPPING, "stopping")
        with contextlib.suppress(ProcessLookupError):
            each.process.terminate()
        deadline = time.monotonic() + each.component.stop_seconds
        while each.process.poll() is None and time.monotonic() < deadline and not hurry():
            self._look()
            time.sleep(POLL_SECONDS)
        text = "stopped"
        if each.process.poll() is None:
            text = "killed" if hurry() else f"killed: it did not stop within {each.component.stop_seconds:g} s"
        self._kill(each)
        self._change(each, State.STOPPED, text)

    def _all_ready(self, names: Iterable[str]) -> bool:
        return all(self.watched[name].state is State.READY for name in names if name in self.watched)

    def _spawn(self, each: Watched) -> None:
        component = each.component
        if component.ready_file:
            component.ready_file.unlink(missing_ok=True)
        rotate(each.log)
        with each.log.open("ab") as log:
            each.log_start = log.tell()
            # In a session of its own, so that Ctrl-C in the terminal reaches only the runner, which drains in order.
            each.process = subprocess.Popen(
                component.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._home.folder,
                env=_environment(self._environ, component) | {MARKER: f"{self._marker}/{component.name}"},
                start_new_session=True,
            )
        self._change(each, State.STARTING, "starting")

    def _look(self, *, first_start: bool = False) -> None:
        """One round over all components."""
        for each in self.watched.values():
            if rotate_open(each.log):
                each.log_start = 0
            if each.process is not None and each.state in (State.STARTING, State.READY):
                if each.process.poll() is not None:
                    self._ended(each, first_start)
                elif each.state is State.STARTING and each.component.ready():
                    self._change(each, State.READY, "ready")
                elif each.crashes_in_a_row and time.monotonic() - each.since > HEALTHY_SECONDS:
                    each.crashes_in_a_row = 0
            elif each.state is State.RESTARTING and time.monotonic() >= each.retry_at:
                each.restarts += 1
                try:
                    self._spawn(each)
                except OSError as error:
                    # Too many processes, no memory, a full disk: it may pass.
                    self._restart_later(each, f"cannot be started: {error}")

    def _ended(self, each: Watched, first_start: bool) -> None:
        assert each.process is not None
        each.last_exit = _how_it_ended(each.process.returncode)
        self._kill(each)
        if first_start:
            self._change(each, State.STOPPED, each.last_exit)
            raise LeptonError(
                ErrorCode.FAILED_PRECONDITION,
                f"{each.component.name} {each.last_exit} at its start.\n{tail(each.log, each.log_start)}",
            )
        self._restart_later(each, each.last_exit)

    def _restart_later(self, each: Watched, why: str) -> None:
        seconds = min(FIRST_RETRY_SECONDS * 2**each.crashes_in_a_row, LONGEST_RETRY_SECONDS)
        each.crashes_in_a_row += 1
        each.retry_at = time.monotonic() + seconds
        self._change(each, State.RESTARTING, f"{why}; restarting in {seconds:g} s. Log: {each.log}")

    def _kill(self, each: Watched) -> None:
        """Kills the component and all processes that it started, which could otherwise keep its port or files."""
        assert each.process is not None
        if each.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(each.process.pid, signal.SIGKILL)
            each.process.wait()
        kill_marked(self._marker, each.component.name)
        each.process = None

    def _change(self, each: Watched, state: State, text: str) -> None:
        each.state = state
        each.since = time.monotonic()
        self._report(each, text)


def _environment(environ: Mapping[str, str], component: Component) -> dict[str, str]:
    """The user's environment, without settings of other services, and the component's environment."""
    own = f"LEPTON_{component.name.upper()}_"
    kept = {name: value for name, value in environ.items() if not name.startswith("LEPTON_") or name.startswith(own)}
    # SPT_NOENV: setproctitle, if it is installed, must not overwrite the environment, which has the marker.
    return kept | {"PYTHONUNBUFFERED": "1", "SPT_NOENV": "1"} | dict(component.environment)


def _how_it_ended(returncode: int) -> str:
    if returncode >= 0:
        return f"exited with status {returncode}"
    try:
        return f"was killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"was killed by signal {-returncode}"


def rotate(log: Path) -> None:
    """Limits the size of logs: at a start, a big log is renamed to `.1`, and the oldest is deleted."""
    if _is_large(log):
        _make_room(log)
        log.replace(_numbered(log, 1))


def rotate_open(log: Path) -> bool:
    """The same while a process writes to the log. Returns whether the log was rotated.

    The process keeps the file open, so the file is copied and then truncated. The process appends to the new end.
    Lines written between copy and truncation are lost; on a full disk all lines.
    """
    if not _is_large(log):
        return False
    _make_room(log)
    try:
        shutil.copyfile(log, _numbered(log, 1))
    except OSError:
        _numbered(log, 1).unlink(missing_ok=True)
    os.truncate(log, 0)
    return True


def _is_large(log: Path) -> bool:
    try:
        return log.stat().st_size >= MAX_LOG_BYTES
    except FileNotFoundError:
        return False


def _make_room(log: Path) -> None:
    for number in range(KEPT_LOGS, 1, -1):
        older = _numbered(log, number - 1)
        if older.exists():
            older.replace(_numbered(log, number))


def _numbered(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")


def tail(log: Path, start: int = 0) -> str:
    """The last lines of a log after the offset `start`, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, log.stat().st_size - TAIL_BYTES))
            return file.read().decode(errors="replace").strip()
    except FileNotFoundError:
        return ""
