"""Wake-up calls from the queue. A wake-up has no content, so it may be lost, repeated or late."""

import logging
import threading
from collections.abc import Callable
from typing import Any

from lepton_core.queue import WAKE_TASK, WAKEUP_QUEUE, build_celery

_log = logging.getLogger(__name__)
RESTART_SECONDS = 5.0


class WakeupListener:
    """A Celery consumer in a thread; its only task wakes the worker's loop and returns."""

    def __init__(self, broker_url: str, wake: Callable[[], None]) -> None:
        self._app = build_celery(broker_url)
        self._app.task(name=WAKE_TASK)(wake)
        self._consumer: Any = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wakeups", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float = 2.0) -> None:
        self._stopping.set()
        if self._consumer is not None:
            self._consumer.stop()
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            # `solo`: the task is too small for a pool, and a process with gRPC must not fork.
            self._consumer = self._app.WorkController(
                pool="solo",
                queues=[WAKEUP_QUEUE],
                without_gossip=True,
                without_mingle=True,
                without_heartbeat=True,
            )
            self._consumer.start()
            # Celery reconnects by itself; after any other error the consumer is restarted, and the worker continues.
            _log.warning("the queue's consumer has stopped")
            self._stopping.wait(RESTART_SECONDS)
