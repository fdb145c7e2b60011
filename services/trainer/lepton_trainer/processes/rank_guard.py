"""The guard, a process between the supervisor and one rank: `rank_guard.py SOCKET`.

It starts the rank's program on request of the supervisor, writes its output to the rank's log, and reports its end.
When the socket to the supervisor closes, or the fence's deadline passes, it kills all its descendants, since the
supervisor may be dead or stopped. Messages are JSON objects, one in each line; `guard_clients.py` is the other side.
"""

import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

# Short, because waits are measured by a clock that stops during a suspend, and the deadline by one that does not.
_LOOK_SECONDS = 0.25
# How long output of processes that the program has left is read after its end.
_LINGER_SECONDS = 0.5
_READ_BYTES = 65536
_CONNECT_SECONDS = 20.0
_PR_SET_NO_NEW_PRIVS = 38
EXIT_ABANDONED = 70
EXIT_NOT_STARTED = 127
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Log:
    """The rank's log file with a size limit. Further output is dropped, so that the program does not block."""

    def __init__(self, path: str, cap: int) -> None:
        # Does not follow a link that an earlier program may have made.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = os.open(path, flags, 0o644)
        self._cap = cap
        self._left = cap
        self.problem = ""

    def write(self, data: bytes) -> None:
        if self._left <= 0 or self.problem:
            return
        kept = data[: self._left]
        self._left -= len(kept)
        try:
            self._put(kept)
            if self._left == 0:
                self._put(f"\n[the log has reached its limit of {self._cap} bytes; the rest is not kept]\n".encode())
        except OSError as error:
            self.problem = error.strerror or str(error)

    def _put(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._file, data) :]


class Guard:
    def __init__(self, connection: socket.socket, rank: int) -> None:
        self._connection = connection
        self._rank = rank
        self._received = b""
        self._fence: float | None = None
        self._closed = False
        self._program = 0
        self._exit: int | None = None
        # Time by the boot-time clock. The report follows later, after the program's remaining processes are killed.
        self._exited_at = 0.0
        self._draining = False
        self._log: Log | None = None
        self._output = -1
        self._output_until: float | None = None
        self._problem_reported = False
        self._selector = selectors.DefaultSelector()
        self._wakeup = _catch_signals(self._on_signal)

    def run(self) -> int:
        self._selector.register(self._connection, selectors.EVENT_READ, self._read_messages)
        self._selector.register(self._wakeup, selectors.EVENT_READ, lambda: self._wakeup.recv(4096))
        self._report({"rank": self._rank, "pid": os.getpid()})
        while True:
            self._attend(_LOOK_SECONDS)
            self._reap()
            if self._is_fenced():
                # A process that was stopped finds its wait over, without what arrived meanwhile: perhaps a renewal.
                self._attend(0)
            if self._closed or self._is_fenced():
                _process_tree().kill_descendants()
                return EXIT_ABANDONED
            if self._exit is not None and self._output_ended():
                return self._finish(self._exit)

    def _attend(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            key.data()

    def _is_fenced(self) -> bool:
        return self._fence is not None and time.clock_gettime(_CLOCK) >= self._fence

    def _finish(self, code: int) -> int:
        if self._program:
            _process_tree().kill_descendants()
        self._report({"exited": code, "at": self._exited_at})
        # During a drain each rank may take its time; after a non-zero exit code the supervisor would stop the others.
        if self._draining:
            return 0
        return code if code >= 0 else 128 - code

    def _read_messages(self) -> None:
        try:
            data = self._connection.recv(_READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self._closed = True
            self._selector.unregister(self._connection)
            return
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            self._handle(json.loads(line))

    def _handle(self, message: dict[str, Any]) -> None:
        if "fence" in message:
            self._fence = float(message["fence"])
        if "go" in message and not self._program and self._exit is None:
            self._start(message["go"])
        if message.get("terminate"):
            self._draining = True
            self._terminate_program()

    def _start(self, program: dict[str, Any]) -> None:
        try:
            self._spawn(program)
        except OSError as error:
            self._report({"problem": f"{error.filename or program['command'][0]}: {error.strerror}"})
            self._set_exit(EXIT_NOT_STARTED)
            return
        self._report({"started": self._program})
        # Imported now, during the program's start: later there may not be enough memory or disk to load it.
        _process_tree()

    def _spawn(self, program: dict[str, Any]) -> None:
        self._log = Log(program["log"], int(program["log_bytes"]))
        os.chdir(program["folder"])
        self._output, write_end = os.pipe()
        os.set_blocking(self._output, False)
        self._selector.register(self._output, selectors.EVENT_READ, self._read_output)
        environment = dict(os.environ) | program["environment"]
        try:
            if program.get("user"):
                self._program = _spawn_as(program["user"], program["command"], environment, write_end)
                return
            self._program = os.posix_spawn(
                program["command"][0],
                program["command"],
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    (os.POSIX_SPAWN_DUP2, write_end, 1),
                    (os.POSIX_SPAWN_DUP2, write_end, 2),
                ],
                setpgroup=0,
                setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],
            )
        finally:
            os.close(write_end)

    def _read_output(self) -> None:
        assert self._log is not None
        try:
            data = os.read(self._output, _READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self._close_output()
            return
        self._log.write(data)
        if self._log.problem and not self._problem_reported:
            self._problem_reported = True
            self._report({"problem": f"the log cannot be written: {self._log.problem}"})

    def _output_ended(self) -> bool:
        """Waits a short time for the end of the output: processes that the program has left may keep it open for
        ever."""
        if self._output < 0:
            return True
        if self._output_until is None:
            self._output_until = time.monotonic() + _LINGER_SECONDS
        if time.monotonic() > self._output_until:
            self._close_output()
        return self._output < 0

    def _close_output(self) -> None:
        self._selector.unregister(self._output)
        os.close(self._output)
        self._output = -1

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._program:
                self._set_exit(os.waitstatus_to_exitcode(status))

    def _on_signal(self, number: int, _frame: object) -> None:
        if number == signal.SIGTERM:
            self._terminate_program()

    def _terminate_program(self) -> None:
        if self._exit is not None:
            return
        if not self._program:
            self._set_exit(-signal.SIGTERM)
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._program, signal.SIGTERM)

    def _set_exit(self, code: int) -> None:
        self._exit = code
        self._exited_at = time.clock_gettime(_CLOCK)

    def _report(self, message: dict[str, Any]) -> None:
        try:
            self._connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self._closed = True


def _catch_signals(handler: Any) -> socket.socket:
    """A socket that becomes readable when a signal arrives."""
    read_end, write_end = socket.socketpair()
    write_end.setblocking(False)
    signal.set_wakeup_fd(write_end.detach(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, handler)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return read_end


def _spawn_as(user: dict[str, int], command: list[str], environment: dict[str, str], output: int) -> int:
    """Starts the program; returns its process id. It has none of our groups, capabilities and open files, and cannot
    get them back."""
    import ctypes
    import subprocess

    # Inherited by children: no setuid program (sudo, su) can give the program more rights.
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"cannot give up new privileges: {os.strerror(number)}")
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        process_group=0,
        user=user["uid"],
        group=user["gid"],
        extra_groups=[],
        umask=user["umask"],
    )
    # It is reaped together with all other children.
    process.returncode = 0
    return process.pid


def _process_tree() -> ModuleType:
    from lepton_trainer.processes import process_tree

    return process_tree


def main() -> int:
    # Started by path and in isolated mode, so the package is found by the path of this file.
    sys.path.append(str(Path(__file__).parents[2]))
    from lepton_trainer.processes.subreaper import become_subreaper

    become_subreaper()
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(_CONNECT_SECONDS)
    # Relative to the working directory, the workspace: a socket's path can have only about 100 characters.
    connection.connect(Path(sys.argv[1]).name)
    connection.settimeout(None)
    return Guard(connection, int(os.environ["RANK"])).run()


if __name__ == "__main__":
    sys.exit(main())
