"""Start a server for a test, wait until it answers, and leave none behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
# A machine that is busy with other things takes long to start even a small server.
START_SECONDS = 40.0
# However busy it is: a test that waits for what never comes has to end.
MOST_SLOWNESS = 5.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def most_memory(pid: int) -> int:
    """The most bytes that the process ever held (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def wait_until(condition: Callable[[], object], seconds: float = 10.0, what: str = "the condition") -> None:
    """Poll until `condition()` is true; AssertionError after `seconds`, or longer on a machine that is overloaded."""
    begun = time.monotonic()
    while not condition():
        limit = seconds * slowness()
        assert time.monotonic() - begun < limit, f"waited {limit:.0f} s for {what}"
        time.sleep(0.01)


def slowness() -> float:
    """How many times longer things take here now than on a machine that is free: its load for each processor."""
    load, _, _ = os.getloadavg()
    return min(max(1.0, load / (os.cpu_count() or 1)), MOST_SLOWNESS)


def stays(condition: Callable[[], object], seconds: float, what: str) -> None:
    """Watch that `condition()` holds for that long; AssertionError as soon as it does not."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert condition(), f"no longer: {what}"
        time.sleep(0.1)


# Not in a `preexec_fn`, which forks: a child that is forked beside gRPC's threads may abort before it can exec.
_DIES_WITH_PARENT = f"""
import ctypes, os, sys
ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG}, int(sys.argv[1]))
os.execvp(sys.argv[2], sys.argv[2:])
"""


def dying_with_parent(command: Sequence[str], number: int) -> list[str]:
    """The command, so that it gets the signal when we die: a test run that is killed must not leave servers behind.

    macOS has no such call.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _DIES_WITH_PARENT, str(int(number)), *command]


class ServerProcess:
    """One server: the same command can be stopped, killed and started again on its old data."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        ready: Callable[[], object],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = list(command)
        self._environment = dict(environment or {})
        self._log = log
        self._ready = ready
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        assert self.process is None, "already running"
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                dying_with_parent(self._command, signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | self._environment,
                start_new_session=True,
            )
        try:
            wait_until(self._answers, START_SECONDS, f"{Path(self._command[0]).name} to answer")
        except BaseException:
            self.kill()
            raise

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self._log.read_text(errors="replace")[-2000:]
        return bool(self._ready())

    def stop(self) -> None:
        """SIGTERM, and wait; SIGKILL after 10 s."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def kill(self) -> None:
        """SIGKILL: what a crash looks like."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()
