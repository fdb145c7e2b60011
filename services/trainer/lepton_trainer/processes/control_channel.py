"""Why an attempt should stop: any thread may say so, one acts upon it."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

_log = logging.getLogger(__name__)


class Stop(IntEnum):
    """A higher one replaces a lower one."""

    # The worker or the registry asks the run to leave with a checkpoint.
    DRAIN = 1
    # Its own fault: out of time, out of disk, inputs that cannot be had.
    FAULT = 2
    # No renewal for too long: somebody else may own the run soon.
    FENCED = 3
    CANCELLED = 4
    # The registry says that somebody else does already.
    STALE = 5
    # The worker is gone; a new one will clear away what is left.
    ORPHANED = 6


@dataclass(frozen=True)
class StopRequest:
    """`final`: a fault that another attempt would meet again."""

    kind: Stop
    text: str = ""
    final: bool = False


class Control:
    """`changed` is set at every news, so that the watching thread can sleep.

    `abandoned` is set once the attempt is not ours any more: whoever waits for the registry or the store gives up.
    """

    def __init__(self) -> None:
        self.changed = threading.Event()
        self.abandoned = threading.Event()
        self._lock = threading.Lock()
        self._request: StopRequest | None = None
        # Boot time by which a drain has to be over.
        self.drain_until: float | None = None

    @property
    def stop(self) -> StopRequest | None:
        return self._request

    def stopped_by(self, *kinds: Stop) -> bool:
        request = self._request
        return request is not None and request.kind in kinds

    def request(self, kind: Stop, text: str = "", *, final: bool = False) -> None:
        with self._lock:
            if self._request is None or kind > self._request.kind:
                self._request = StopRequest(kind, text, final)
        if kind >= Stop.STALE:
            self.abandoned.set()
        self.changed.set()

    def start_thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """A thread of the attempt: what it cannot handle ends the attempt, which would wait for it in vain."""

        def guarded() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - a thread has nobody above it who could
                _log.exception("%s has failed", name)
                self.request(Stop.FAULT, f"the platform's own {name} failed: {type(error).__name__}: {error}")

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def drain(self, until: float, text: str) -> None:
        with self._lock:
            self.drain_until = until if self.drain_until is None else min(until, self.drain_until)
        self.request(Stop.DRAIN, text)
