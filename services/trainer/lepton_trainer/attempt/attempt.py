"""The steps of an attempt in order, from the claim to the accepted outcome."""

import logging
import time

from lepton_core.causes import EndCause
from lepton_core.errors import Cause, ErrorCode, LeptonError
from lepton_core.jobs.spec import JobSpec
from lepton_trainer.assignment import AttemptConfig
from lepton_trainer.attempt.completion import Ending
from lepton_trainer.attempt.lease import Lease
from lepton_trainer.attempt.workspace import Preparation
from lepton_trainer.end_causes import end_cause
from lepton_trainer.files.disk import LONGEST_PAUSE_SECONDS
from lepton_trainer.placement.port import Placement
from lepton_trainer.processes.clock import boottime
from lepton_trainer.processes.control_channel import Control, Stop
from lepton_trainer.reporting.checkpoints import CheckpointShipper
from lepton_trainer.reporting.progress import ControlFollower
from lepton_trainer.reporting.registry import AttemptRegistry, Result
from lepton_trainer.reporting.shipper import JournalShipper, LogShipper, Shipping
from lepton_trainer.retrying import AbandonedError

_log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
# How long programs may take to end after the platform has requested a drain.
DRAIN_SECONDS = 15.0
# After a rank has failed, how long the others may take to end and to report a reason.
PEER_SECONDS = 5.0
UNREACHABLE = Cause(EndCause.REGISTRY_UNREACHABLE, {}, "the registry could not be reached for too long")


class Attempt:
    def __init__(self, config: AttemptConfig, control: Control, placement: Placement) -> None:
        assignment, policy = config.assignment, config.policy
        self._config = config
        self._control = control
        self._placement = placement
        self._spec = JobSpec.model_validate_json(assignment.spec)
        self._registry = AttemptRegistry(config.registry_address, assignment.attempt_id, assignment.attempt_token)
        self._follower = ControlFollower(placement.files)
        self._lease = Lease(
            self._registry,
            control,
            claimed_at=config.claimed_at,
            lease_seconds=assignment.lease_seconds,
            self_fence_seconds=policy.self_fence_seconds,
            heartbeat_seconds=policy.heartbeat_seconds,
            renewed=placement.set_fence,
            progress=lambda: self._follower.progress,
        )
        files = placement.files
        journals = JournalShipper(self._registry, files, config.ranks)
        self._shipping = Shipping(journals, LogShipper(self._registry, files, config.ranks), control)
        self._checkpoints = CheckpointShipper(
            self._registry, files, policy.max_package_bytes, self._follower, journals, control
        )
        limits = self._spec.limits
        self._max_disk_bytes = limits.max_disk_bytes or policy.max_disk_bytes
        self._timeout_seconds = limits.timeout_seconds or policy.timeout_seconds
        # Boot time by which programs must have ended after a drain or cancel.
        self._leave_by: float | None = None

    def run(self) -> Result | None:
        """The result that the registry accepted; None if the attempt is lost."""
        _log.info("attempt %s of run %s", self._registry.attempt_id, self._config.assignment.run_id)
        self._lease.start()
        Preparation(self._config, self._spec, self._registry, self._placement, self._control).start()
        self._shipping.start()
        self._checkpoints.start()
        self._watch()
        self._placement.end()
        if self._control.abandoned.is_set():
            return None
        try:
            self._shipping.finish()
            if not self._control.stopped_by(Stop.CANCELLED):
                self._checkpoints.finish()
            ending = Ending(self._config, self._spec, self._registry, self._placement, self._control)
            return ending.offer(asked_to_leave=self._leave_by is not None)
        except AbandonedError:
            return None
        finally:
            self._lease.end()

    def _watch(self) -> None:
        """Waits until all ranks have ended, or must be killed."""
        started: float | None = None
        disk_look_at = 0.0
        failed_at: float | None = None
        reported_at: float | None = None
        while self._placement.poll() is None:
            self._control.changed.wait(min(LOOK_SECONDS, max(0.0, disk_look_at - time.monotonic())))
            self._control.changed.clear()
            now = time.monotonic()
            self._check_lease()
            # Not counted from the claim: the job's time must not include an outage of the store.
            if started is None and self._placement.started:
                started = now
            if started is not None and now - started > self._timeout_seconds:
                text = f"out of time: it ran for {self._timeout_seconds} s (limits.timeout_seconds)"
                cause = Cause(EndCause.TIMEOUT, {"seconds": self._timeout_seconds}, text)
                self._control.request(Stop.FAULT, cause, final=True)
            if now >= disk_look_at:
                pause = self._check_disk()
                disk_look_at = time.monotonic() + pause
            if self._placement.first_failed is not None:
                failed_at = failed_at or now
                if now - failed_at > PEER_SECONDS:
                    return
            # Rank 0 writes the outcome at its end; a rank that still runs some time after that is blocked in its exit.
            if self._placement.files.exists("outcome.json"):
                reported_at = reported_at or now
                if now - reported_at > PEER_SECONDS:
                    return
            if self._has_to_end():
                return

        # After this process was stopped: the ranks may have ended because of the fence.
        self._check_lease()

    def _check_lease(self) -> None:
        if self._lease.has_lapsed():
            self._control.request(Stop.FENCED, UNREACHABLE)

    def _has_to_end(self) -> bool:
        """Whether the ranks must be killed now; after a drain or cancel they first get SIGTERM and some time."""
        stop = self._control.stop
        if stop is None:
            return False
        if stop.kind not in (Stop.DRAIN, Stop.CANCELLED) or not self._placement.started:
            return True
        now = boottime()
        if stop.kind is Stop.CANCELLED:
            until = now + self._config.policy.cancel_grace_seconds
        else:
            until = self._control.drain_until or now + DRAIN_SECONDS
        if self._leave_by is None:
            self._placement.terminate()
        self._leave_by = until if self._leave_by is None else min(self._leave_by, until)
        return now >= self._leave_by

    def _check_disk(self) -> float:
        """Checks the disk; returns the seconds until the next check."""
        pause = LONGEST_PAUSE_SECONDS
        try:
            pause = self._placement.check_disk(self._max_disk_bytes)
        except LeptonError as error:
            # The attempt would exceed its own budget again, but a disk that others have filled may have space later.
            cause = end_cause(error, EndCause.WORKER_FAULT)
            self._control.request(Stop.FAULT, cause, final=error.code is ErrorCode.TOO_LARGE)
        for rank, known in self._placement.ranks.items():
            if known.problem:
                text = f"rank {rank}: {known.problem}"
                self._control.request(Stop.FAULT, Cause(EndCause.WORKER_FAULT, {"part": "guard", "rank": rank}, text))
        return pause
