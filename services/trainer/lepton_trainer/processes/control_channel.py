"""Requests to stop an attempt: any thread may make one, and one thread acts on it."""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from lepton_core.causes import EndCause
from lepton_core.errors import Cause

_log = logging.getLogger(__name__)


class Stop(IntEnum):
    """A request with a higher value replaces one with a lower value."""

    # The worker or the registry requests a drain: stop with a checkpoint.
    DRAIN = 1
    # A failure of the attempt: out of time, out of disk, or inputs that cannot be fetched.
    FAULT = 2
    # No renewal of the lease for too long: another worker may soon have the run.
    FENCED = 3
    CANCELLED = 4
    # The registry has reported that the attempt is lost.
    STALE = 5
    # The worker has died; its next start removes what is left.
    ORPHANED = 6


@dataclass(frozen=True)
class StopRequest:
    """`cause`: how the attempt ends because of it; None if nobody is left to report to.

    `final`: a fault that would occur again in the next attempt.
    """

    kind: Stop
    cause: Cause | None = None
    final: bool = False


class Control:
    """`changed` is set at every change, so that the watching thread can sleep.

    `abandoned` is set when the attempt is lost: threads that wait for the registry or the store stop waiting.
    """

    def __init__(self) -> None:
        self.changed = threading.Event()
        self.abandoned = threading.Event()
        self._lock = threading.Lock()
        self._request: StopRequest | None = None
        # Boot time by which a drain must have ended.
        self.drain_until: float | None = None

    @property
    def stop(self) -> StopRequest | None:
        return self._request

    def stopped_by(self, *kinds: Stop) -> bool:
        request = self._request
        return request is not None and request.kind in kinds

    def request(self, kind: Stop, cause: Cause | None = None, *, final: bool = False) -> None:
        with self._lock:
            if self._request is None or kind > self._request.kind:
                self._request = StopRequest(kind, cause, final)
        if kind >= Stop.STALE:
            self.abandoned.set()
        self.changed.set()

    def start_thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """A thread of the attempt. An error that it does not handle ends the attempt, which could otherwise wait for
        ever."""

        def guarded() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - last handler of the thread
                _log.exception("%s has failed", name)
                text = f"the platform's own {name} failed: {type(error).__name__}: {error}"
                self.request(Stop.FAULT, Cause(EndCause.WORKER_FAULT, {"part": name}, text))

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    def drain(self, until: float, text: str) -> None:
        """`until`: boot time."""
        with self._lock:
            self.drain_until = until if self.drain_until is None else min(until, self.drain_until)
        self.request(Stop.DRAIN, Cause(EndCause.RELEASED, {}, text))
