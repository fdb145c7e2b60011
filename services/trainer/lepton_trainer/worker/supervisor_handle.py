"""The worker's side of a supervisor: starts it, requests a drain, and waits for its end."""

import contextlib
import json
import logging
import os
import select
import socket
import subprocess
import sys
import threading
import time

from lepton_trainer.assignment import AttemptConfig
from lepton_trainer.processes.clock import boottime
from lepton_trainer.processes.environment import attempt_environment
from lepton_trainer.processes.process_tree import MARKER, kill_marked

_log = logging.getLogger(__name__)
LOOK_SECONDS = 0.1
# The part of the drain time for the programs; the rest is for committing their results.
PROGRAMS_SHARE = 0.6
# Time between the result and the end of the process.
LEAVE_SECONDS = 5.0


def _environment(config: AttemptConfig) -> dict[str, str]:
    environment = attempt_environment(os.environ, config.workspace) | {MARKER: config.marker}
    if config.user is not None:
        # A file there would be code of the script in a process of the worker.
        own = str(config.workspace / "logs")
        environment |= {"HOME": own, "LEPTON_HOME": own, "TMPDIR": own}
    return environment


class SupervisorProcess:
    """The supervisor of an attempt. If the worker dies, the supervisor's socket closes, and it kills its processes."""

    def __init__(self, config: AttemptConfig) -> None:
        self._config = config
        self._connection, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "lepton_trainer.attempt.supervisor", str(theirs.fileno())],
                cwd=config.workspace,
                env=_environment(config),
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                # In a session of its own, since the worker handles Ctrl-C and a closed terminal.
                start_new_session=True,
            )
        # If it has died already, `wait` notices.
        with contextlib.suppress(BrokenPipeError):
            self._connection.sendall(config.encode())
        self._received = b""

    def wait(self, drain: threading.Event, drain_seconds: float) -> str | None:
        """The result that it reported; None when it died, or had to be killed. Nothing of the attempt is left then."""
        drain_until: float | None = None
        heard_at = time.monotonic()
        result: str | None = None
        while result is None:
            readable, _, _ = select.select([self._connection], [], [], LOOK_SECONDS)
            if readable:
                data = self._receive()
                if not data:
                    break
                heard_at = time.monotonic()
                result = self._result(data)
            if drain.is_set() and drain_until is None:
                drain_until = boottime() + drain_seconds
                self._send({"drain_seconds": drain_seconds * PROGRAMS_SHARE})
            if drain_until is not None and boottime() > drain_until:
                _log.warning("attempt %s did not drain in time", self._config.assignment.attempt_id)
                break
            # Measured by the clock that stands still while the machine is suspended.
            if time.monotonic() - heard_at > self._config.policy.self_fence_seconds:
                _log.warning("the supervisor of %s is stopped or blocked", self._config.assignment.attempt_id)
                break
        self._end(killed=result is None)
        return result

    def _result(self, data: bytes) -> str | None:
        *lines, self._received = (self._received + data).split(b"\n")
        messages = [json.loads(line) for line in lines]
        return next((str(message["result"]) for message in messages if "result" in message), None)

    def _receive(self) -> bytes:
        try:
            return self._connection.recv(4096)
        except ConnectionError:
            return b""

    def _send(self, message: dict[str, float]) -> None:
        with contextlib.suppress(OSError):
            self._connection.sendall(json.dumps(message).encode() + b"\n")

    def _end(self, *, killed: bool) -> None:
        self._connection.close()
        if killed:
            self._process.kill()
        try:
            code = self._process.wait(LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code:
            _log.warning("the supervisor of %s ended with %d", self._config.assignment.attempt_id, code)
        # The guards kill the ranks when the supervisor ends; other processes are found by their marker.
        kill_marked(self._config.marker)
