"""Renews the attempt's lease, and computes the time until which this side may rely on it."""

import logging
import threading
from collections.abc import Callable

from lepton_core.causes import EndCause
from lepton_core.errors import Cause, LeptonError
from lepton_trainer.processes.clock import boottime
from lepton_trainer.processes.control_channel import Control, Stop
from lepton_trainer.reporting.registry import AttemptRegistry, Directive
from lepton_trainer.retrying import REFUSALS

_log = logging.getLogger(__name__)

CANCELLED = Cause(EndCause.CANCELLED, {}, "cancelled")
# Time to kill all processes, before the registry may give the run to another worker.
KILL_SECONDS = 5.0


def fence_seconds(wanted: float, lease_seconds: float) -> float:
    """`self_fence_seconds`, limited so that together with the time to kill it is less than the lease."""
    return max(min(wanted, lease_seconds - KILL_SECONDS), lease_seconds / 2) if lease_seconds else wanted


class Lease:
    """A thread that renews the lease. `deadline` counts from the *sending* of the last answered renewal.

    The registry counts from its receipt, which is later. So this side always stops before the lease expires there.
    """

    def __init__(
        self,
        registry: AttemptRegistry,
        control: Control,
        *,
        claimed_at: float,
        lease_seconds: float,
        self_fence_seconds: float,
        heartbeat_seconds: float,
        renewed: Callable[[float], None],
        progress: Callable[[], float],
    ) -> None:
        self._registry = registry
        self._control = control
        self._wanted_fence = self_fence_seconds
        self._heartbeat_seconds = min(heartbeat_seconds, lease_seconds / 4) if lease_seconds else heartbeat_seconds
        self._renewed = renewed
        self._progress = progress
        self._over = threading.Event()
        self._lapsed = False
        self.deadline = claimed_at + fence_seconds(self_fence_seconds, lease_seconds)
        renewed(self.deadline)

    def start(self) -> None:
        self._control.start_thread("lease", self._run)

    def has_lapsed(self) -> bool:
        """Whether the deadline has passed, even if a later renewal was answered: the guards have killed the ranks."""
        return self._lapsed or boottime() >= self.deadline

    def end(self) -> None:
        """Stops the renewals, after the end of the attempt."""
        self._over.set()

    def _run(self) -> None:
        unanswered = False
        while not self._over.is_set():
            sent = boottime()
            try:
                directive, lease_seconds = self._registry.heartbeat(self._progress())
            except LeptonError as error:
                if self._over.is_set():
                    return
                if error.code in REFUSALS:
                    _log.warning("the registry refuses the lease: %s", error.detail)
                    self._control.request(Stop.STALE)
                    return
                if not unanswered:
                    _log.warning("the lease was not renewed: %s", error.detail)
                unanswered = True
            else:
                unanswered = False
                self._lapsed = self.has_lapsed()
                self.deadline = sent + fence_seconds(self._wanted_fence, lease_seconds)
                self._renewed(self.deadline)
                self._obey(directive)
            # Earlier after a failure, since the deadline comes nearer.
            self._over.wait(self._heartbeat_seconds / 2 if unanswered else self._heartbeat_seconds)

    def _obey(self, directive: Directive) -> None:
        if directive is Directive.CANCEL:
            self._control.request(Stop.CANCELLED, CANCELLED)
        elif directive is Directive.DRAIN:
            cause = Cause(EndCause.RELEASED, {}, "the platform has requested a drain")
            self._control.request(Stop.DRAIN, cause)
