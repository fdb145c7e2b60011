"""One process for each attempt: `python -m lepton_trainer.attempt.supervisor <descriptor>`. Never imports torch.

The descriptor is a socket to the worker: the order comes in as its first line, then requests to drain; its end means
that the worker is gone. The launcher is started first of all, since it takes a second or two until the ranks' guards
are there: what else has to be loaded and fetched happens meanwhile.
"""

import json
import logging
import os
import signal
import socket
import sys
import threading
from typing import Any

from lepton_core.observability import configure_logging
from lepton_trainer.assignment import Order, decode_order
from lepton_trainer.placement import Launched, Launcher, LaunchPlan
from lepton_trainer.placement.direct import DirectLauncher
from lepton_trainer.placement.torchrun import TorchrunLauncher
from lepton_trainer.processes.clock import boottime
from lepton_trainer.processes.control_channel import Control, Stop
from lepton_trainer.processes.environment import attempt_environment
from lepton_trainer.processes.guard_clients import Guards
from lepton_trainer.processes.isolation import WORKER_UMASK, make_folders
from lepton_trainer.processes.subreaper import become_subreaper

_log = logging.getLogger(__name__)
GUARD_SOCKET = "guards.sock"
# How often the worker hears that this process is not stopped or stuck.
ALIVE_SECONDS = 1.0
# How long a drain may take when somebody other than the worker asks for it.
OWN_DRAIN_SECONDS = 20.0


class WorkerLink:
    """The socket to the worker, read by a thread of its own."""

    def __init__(self, connection: socket.socket) -> None:
        self._lines = connection.makefile("rb")
        self._connection = connection
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def read_order(self) -> Order | None:
        line = self._lines.readline()
        return decode_order(line) if line else None

    def watch(self, control: Control) -> None:
        threading.Thread(target=self._listen, args=(control,), name="worker-link", daemon=True).start()
        threading.Thread(target=self._live, name="alive", daemon=True).start()

    def tell(self, result: str) -> None:
        """How the attempt ended; the last word."""
        self._ended.set()
        if not self._send({"result": result}):
            _log.warning("the worker has gone before it could be told the result: %s", result)

    def _live(self) -> None:
        while not self._ended.wait(ALIVE_SECONDS) and self._send({"alive": True}):
            pass

    def _send(self, message: dict[str, Any]) -> bool:
        with self._lock:
            try:
                self._connection.sendall(json.dumps(message).encode() + b"\n")
            except OSError:
                return False
        return True

    def _listen(self, control: Control) -> None:
        try:
            for line in self._lines:
                message = json.loads(line)
                control.drain(boottime() + float(message["drain_seconds"]), "the worker is shutting down")
        except OSError:
            pass
        control.request(Stop.ORPHANED, "the worker is gone")


def launch(order: Order, control: Control) -> tuple[Guards, Launched]:
    """Start the launcher in the order's workspace, which becomes the working directory."""
    os.chdir(order.workspace)
    if order.user is not None:
        os.umask(WORKER_UMASK)
    make_folders(order.workspace)
    guards = Guards(order.ranks, control.changed.set)
    guards.listen(GUARD_SOCKET)
    environment = attempt_environment(os.environ, order.workspace) | {"LEPTON_TREE": order.marker}
    log = order.workspace / "logs" / "launcher.log"
    plan = LaunchPlan(order.workspace, order.ranks, GUARD_SOCKET, environment, log)
    launcher: Launcher = DirectLauncher() if order.user is not None else TorchrunLauncher()
    return guards, launcher.start(plan)


def main() -> int:
    configure_logging("supervisor")
    link = WorkerLink(socket.socket(fileno=int(sys.argv[1])))
    order = link.read_order()
    if order is None:
        return 0
    control = Control()
    signal.signal(signal.SIGTERM, lambda *_: control.drain(boottime() + OWN_DRAIN_SECONDS, "asked to stop by SIGTERM"))
    # Ctrl-C in a terminal is for the worker; it tells us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    become_subreaper()
    guards, launched = launch(order, control)
    link.watch(control)

    from lepton_trainer.attempt.attempt import Attempt

    result = Attempt(order, control, guards, launched).run()
    link.tell(result.value if result else "lost")
    return 0


if __name__ == "__main__":
    code = main()
    # Threads may sit in a call to a registry that is away; there is nothing left to wait for.
    sys.stderr.flush()
    os._exit(code)
