"""The supervisor, a process for each attempt: `python -m lepton_trainer.attempt.supervisor <descriptor>`. No torch.

The descriptor is a socket to the worker. Its first line is the attempt's configuration, and later ones are requests to
drain; its end means that the worker has died. The placement is launched first, so that its processes start while other
modules are imported and inputs are fetched.
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
from lepton_core.signals import act_on
from lepton_trainer.assignment import AttemptConfig
from lepton_trainer.placement.discovery import load_placement
from lepton_trainer.processes.clock import boottime
from lepton_trainer.processes.control_channel import Control, Stop

_log = logging.getLogger(__name__)
# How often this process shows the worker that it is not stopped or blocked.
ALIVE_SECONDS = 1.0
# How long a drain may take if it was not requested by the worker.
OWN_DRAIN_SECONDS = 20.0


class WorkerLink:
    """The socket to the worker, which a thread reads."""

    def __init__(self, connection: socket.socket) -> None:
        self._lines = connection.makefile("rb")
        self._connection = connection
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def read_config(self) -> AttemptConfig | None:
        line = self._lines.readline()
        return AttemptConfig.decode(line) if line else None

    def watch(self, control: Control) -> None:
        threading.Thread(target=self._listen, args=(control,), name="worker-link", daemon=True).start()
        threading.Thread(target=self._report_alive, name="alive", daemon=True).start()

    def report(self, result: str) -> None:
        """Sends the result of the attempt, as the last message."""
        self._ended.set()
        if not self._send({"result": result}):
            _log.warning("the worker has died before the result could be reported: %s", result)

    def _report_alive(self) -> None:
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
        _log.warning("the worker is gone")
        control.request(Stop.ORPHANED)


def main() -> int:
    configure_logging("supervisor")
    link = WorkerLink(socket.socket(fileno=int(sys.argv[1])))
    config = link.read_config()
    if config is None:
        return 0
    control = Control()
    act_on([signal.SIGTERM], lambda: control.drain(boottime() + OWN_DRAIN_SECONDS, "asked to stop by SIGTERM"))
    # The worker handles Ctrl-C in a terminal, and requests a drain.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    placement = load_placement(config.placement_entry)(config, control.changed.set)
    placement.launch()
    link.watch(control)

    from lepton_trainer.attempt.attempt import Attempt

    result = Attempt(config, control, placement).run()
    link.report(result.value if result else "lost")
    return 0


if __name__ == "__main__":
    code = main()
    # All is done, but threads may be in a call to an unavailable registry.
    sys.stderr.flush()
    os._exit(code)
