"""The supervisor's side of the guards' socket: sends deadlines and programs, receives starts and ends of ranks."""

import contextlib
import json
import logging
import selectors
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lepton_trainer.processes.clock import boottime

_log = logging.getLogger(__name__)
_READ_BYTES = 65536
# A stopped guard reads nothing; sending to it must not block the others.
_SEND_SECONDS = 1.0
# The longest line that a guard may send.
_MAX_LINE_BYTES = 8192


@dataclass(frozen=True)
class GuardedProgram:
    """The program that every guard starts; `environment` is added to the guard's own, which has the rank's numbers."""

    command: Sequence[str]
    folder: str
    environment: Mapping[str, str]
    log_bytes: int
    # {"uid": …, "gid": …, "umask": …} of another user to run as; None: the guard's own.
    user: Mapping[str, int] | None = None


@dataclass
class Rank:
    """The state of a rank. `exit_code` is negative for a signal, as in subprocess; None while it runs.

    `ended_at`: boot time at which its program ended, or its guard was lost.
    """

    guard_pid: int = 0
    program_pid: int = 0
    exit_code: int | None = None
    ended_at: float | None = None
    connected: bool = False
    problem: str = ""


class Guards:
    """`changed` is called from the reading thread when the state of a rank has changed."""

    def __init__(self, ranks: int, changed: Callable[[], None]) -> None:
        self.ranks = {rank: Rank() for rank in range(ranks)}
        self._changed = changed
        self._lock = threading.Lock()
        self._connections: dict[int, socket.socket] = {}
        self._fence: float | None = None
        self._programs: Mapping[int, Mapping[str, Any]] = {}
        self._terminated = False
        self._received: dict[socket.socket, bytes] = {}
        self._selector = selectors.DefaultSelector()
        self._listener = socket.socket(socket.AF_UNIX)

    def listen(self, path: str) -> None:
        self._listener.bind(path)
        # Programs that run as another user may not connect.
        Path(path).chmod(0o600)
        self._listener.listen(len(self.ranks))
        self._selector.register(self._listener, selectors.EVENT_READ)
        threading.Thread(target=self._serve, name="guards", daemon=True).start()

    def set_fence(self, deadline: float) -> None:
        """`deadline`: seconds of the boot-time clock."""
        with self._lock:
            self._fence = deadline
            self._broadcast({"fence": deadline})

    def go(self, program: GuardedProgram, logs: Mapping[int, str]) -> None:
        """Starts the program on each rank as soon as its guard has connected; `logs` are the files for the output."""
        with self._lock:
            self._programs = {rank: {"go": {**asdict(program), "log": logs[rank]}} for rank in self.ranks}
            for rank in self._connections:
                self._send(rank, self._programs[rank])

    @property
    def first_failed(self) -> int | None:
        """Ordered by the time of the end: reports may arrive in another order, up to half a second later."""
        failed = [(each.ended_at, rank) for rank, each in self.ranks.items() if each.ended_at and each.exit_code != 0]
        return min(failed)[1] if failed else None

    @property
    def started(self) -> bool:
        """Whether programs may have started, so that there may be results to save."""
        return bool(self._programs)

    def terminate(self) -> None:
        """Sends SIGTERM to each program, which may write a checkpoint and end."""
        with self._lock:
            self._terminated = True
            self._broadcast({"terminate": True})

    def note_end(self, rank: int) -> None:
        """The guard's process has ended: if it had never connected, its rank is lost."""
        with self._lock:
            if not self.ranks[rank].guard_pid and self.ranks[rank].ended_at is None:
                self.ranks[rank].ended_at = boottime()

    def _broadcast(self, message: Mapping[str, Any]) -> None:
        for rank in self._connections:
            self._send(rank, message)

    def _send(self, rank: int, message: Mapping[str, Any]) -> None:
        # A guard that cannot be reached kills its rank at the deadline; its end is detected by the process tree.
        with contextlib.suppress(OSError):
            self._connections[rank].sendall(json.dumps(message).encode() + b"\n")

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                else:
                    assert isinstance(key.fileobj, socket.socket)
                    self._read(key.fileobj, key.data)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            connection.settimeout(_SEND_SECONDS)
            self._received[connection] = b""
            self._selector.register(connection, selectors.EVENT_READ, None)

    def _read(self, connection: socket.socket, rank: int | None) -> None:
        try:
            data = connection.recv(_READ_BYTES)
        except OSError:
            data = b""
        *lines, rest = (self._received[connection] + data).split(b"\n")
        self._received[connection] = rest
        try:
            for line in lines:
                rank = self._take(connection, rank, json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            # The peer is not one of our guards: programs of the attempt can also connect to the socket.
            _log.warning("a connection to the guards' socket sent invalid data")
            data = b""
        if not data or len(rest) > _MAX_LINE_BYTES:
            self._close(connection, rank)

    def _take(self, connection: socket.socket, rank: int | None, message: Mapping[str, Any]) -> int:
        if rank is None:
            return self._greet(connection, int(message["rank"]), int(message["pid"]))
        known = self.ranks[rank]
        if "started" in message:
            known.program_pid = int(message["started"])
        if "problem" in message:
            known.problem = str(message["problem"])[:500]
        if "exited" in message:
            known.exit_code, known.ended_at = int(message["exited"]), float(message["at"])
        self._changed()
        return rank

    def _greet(self, connection: socket.socket, rank: int, pid: int) -> int:
        known = self.ranks[rank]
        if known.guard_pid:
            raise ValueError(f"a second guard of rank {rank}")
        known.guard_pid, known.connected = pid, True
        self._selector.modify(connection, selectors.EVENT_READ, rank)
        with self._lock:
            self._connections[rank] = connection
            if self._fence is not None:
                self._send(rank, {"fence": self._fence})
            if self._programs:
                self._send(rank, self._programs[rank])
            if self._terminated:
                self._send(rank, {"terminate": True})
        self._changed()
        return rank

    def _close(self, connection: socket.socket, rank: int | None) -> None:
        self._selector.unregister(connection)
        del self._received[connection]
        with self._lock:
            if rank is not None and self._connections.get(rank) is connection:
                del self._connections[rank]
                self.ranks[rank].connected = False
                if self.ranks[rank].ended_at is None:
                    self.ranks[rank].ended_at = boottime()
            connection.close()
        self._changed()
