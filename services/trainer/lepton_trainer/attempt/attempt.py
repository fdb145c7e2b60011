"""One attempt, from the claim to its acknowledged end. The story of a run, on the worker's side."""

import logging
import os
import time

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.jobs.spec import JobSpec
from lepton_trainer.assignment import Order
from lepton_trainer.attempt.completion import Ending
from lepton_trainer.attempt.lease import Lease
from lepton_trainer.attempt.workspace import Preparation
from lepton_trainer.files.disk import LONGEST_PAUSE_SECONDS, DiskBudget
from lepton_trainer.placement import Launched
from lepton_trainer.processes.clock import boottime
from lepton_trainer.processes.control_channel import Control, Stop
from lepton_trainer.processes.guard_clients import Guards
from lepton_trainer.processes.process_tree import kill_descendants, reap_orphans
from lepton_trainer.processes.user_processes import kill_user
from lepton_trainer.reporting.checkpoints import CheckpointShipper
from lepton_trainer.reporting.progress import ControlFollower
from lepton_trainer.reporting.registry import AttemptRegistry, Result
from lepton_trainer.reporting.shipper import JournalShipper, LogShipper, Shipping
from lepton_trainer.retrying import AbandonedError

_log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
# How long the tree may take to end before the scripts' user is emptied, and how long that may take.
END_TREE_SECONDS = 0.5
END_SCRIPTS_SECONDS = 10.0
# How long programs may take to leave when the platform asks for their place.
DRAIN_SECONDS = 15.0
# After one rank has failed, how long the others have to fail too, with words of their own.
PEER_SECONDS = 5.0


class Attempt:
    def __init__(self, order: Order, control: Control, guards: Guards, launched: Launched) -> None:
        assignment, policy = order.assignment, order.policy
        self._order = order
        self._control = control
        self._guards = guards
        self._launched = launched
        self._spec = JobSpec.model_validate_json(assignment.spec)
        self._registry = AttemptRegistry(order.registry_address, assignment.attempt_id, assignment.attempt_token)
        self._follower = ControlFollower(order.workspace, order.owner)
        self._lease = Lease(
            self._registry,
            control,
            claimed_at=order.claimed_at,
            lease_seconds=assignment.lease_seconds,
            self_fence_seconds=policy.self_fence_seconds,
            heartbeat_seconds=policy.heartbeat_seconds,
            renewed=guards.set_fence,
            progress=lambda: self._follower.progress,
        )
        journals = JournalShipper(self._registry, order.workspace, order.ranks, order.owner)
        self._shipping = Shipping(journals, LogShipper(self._registry, order.workspace, order.ranks), control)
        self._checkpoints = CheckpointShipper(self._registry, order, self._follower, journals, control)
        limits = self._spec.limits
        self._disk = DiskBudget(
            order.workspace, limits.max_disk_bytes or policy.max_disk_bytes, policy.disk_reserve_bytes
        )
        self._timeout_seconds = limits.timeout_seconds or policy.timeout_seconds
        # Boot time by which programs that were asked to leave must be gone.
        self._leave_by: float | None = None

    def run(self) -> Result | None:
        """The result that the registry accepted; None when the attempt was lost to us."""
        _log.info("attempt %s of run %s", self._registry.attempt_id, self._order.assignment.run_id)
        self._lease.start()
        Preparation(self._order, self._spec, self._registry, self._guards, self._control).start()
        self._shipping.start()
        self._checkpoints.start()
        self._watch()
        self._end_programs()
        reap_orphans(self._launched.pids)
        if self._control.abandoned.is_set():
            return None
        try:
            self._shipping.finish()
            if not self._control.stopped_by(Stop.CANCELLED):
                self._checkpoints.finish()
            ending = Ending(self._order, self._spec, self._registry, self._guards, self._launched, self._control)
            return ending.offer(asked_to_leave=self._leave_by is not None)
        except AbandonedError:
            return None
        finally:
            self._lease.end()

    def _end_programs(self) -> None:
        if self._order.user is not None:
            # Guards first: they would report the death of their programs as a failure. In a time that a program which
            # forks without pause cannot draw out.
            kill_descendants(END_TREE_SECONDS)
            kill_user(self._order.user.uid, END_SCRIPTS_SECONDS)
        kill_descendants()

    def _watch(self) -> None:
        """Until the launcher has ended, or its tree has to be killed."""
        started: float | None = None
        disk_look_at = 0.0
        failed_at: float | None = None
        told_at: float | None = None
        while self._launched.exit_code() is None:
            self._control.changed.wait(min(LOOK_SECONDS, max(0.0, disk_look_at - time.monotonic())))
            self._control.changed.clear()
            reap_orphans(self._launched.pids)
            now = time.monotonic()
            if boottime() >= self._lease.deadline:
                self._control.request(Stop.FENCED, "the registry could not be reached for too long")
            # Not from the claim: a store that is away must not cost the job its time.
            if started is None and self._guards.started:
                started = now
            if started is not None and now - started > self._timeout_seconds:
                text = f"out of time: it ran for {self._timeout_seconds} s (limits.timeout_seconds)"
                self._control.request(Stop.FAULT, text, final=True)
            if now >= disk_look_at:
                pause = self._check_disk()
                disk_look_at = time.monotonic() + pause
            if self._guards.first_failed is not None:
                failed_at = failed_at or now
                if now - failed_at > PEER_SECONDS:
                    return
            # Rank 0 tells the outcome with its last breath; whoever is still there then is stuck in its own ending.
            if os.path.lexists(self._order.workspace / "outcome.json"):
                told_at = told_at or now
                if now - told_at > PEER_SECONDS:
                    return
            if self._has_to_end():
                return

    def _has_to_end(self) -> bool:
        """True when the tree is to be killed now; a drain and a cancel ask its programs to leave first."""
        stop = self._control.stop
        if stop is None:
            return False
        if stop.kind not in (Stop.DRAIN, Stop.CANCELLED) or not self._guards.started:
            return True
        now = boottime()
        if stop.kind is Stop.CANCELLED:
            until = now + self._order.policy.cancel_grace_seconds
        else:
            until = self._control.drain_until or now + DRAIN_SECONDS
        if self._leave_by is None:
            self._guards.terminate()
        self._leave_by = until if self._leave_by is None else min(self._leave_by, until)
        return now >= self._leave_by

    def _check_disk(self) -> float:
        """Seconds until the next look."""
        pause = LONGEST_PAUSE_SECONDS
        try:
            pause = self._disk.check()
        except LeptonError as error:
            # Its own budget would be exceeded again; a disk that others filled may have room later.
            self._control.request(Stop.FAULT, error.detail, final=error.code is ErrorCode.TOO_LARGE)
        for rank, known in self._guards.ranks.items():
            if known.problem:
                self._control.request(Stop.FAULT, f"rank {rank}: {known.problem}")
        return pause
