"""What a lease is worth after this process was stopped for a while, with a registry of the test's own."""

from __future__ import annotations

import threading
from typing import Any

from lepton_fixtures.processes import wait_until
from lepton_trainer.attempt.lease import Lease
from lepton_trainer.processes.clock import boottime
from lepton_trainer.processes.control_channel import Control
from lepton_trainer.reporting.registry import Directive

LEASE_SECONDS = 2.0


class Registry:
    """Answers when `open` is set, and counts its answers."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.answers = 0

    def heartbeat(self, progress: float) -> tuple[Directive, float]:
        assert self.open.wait(30)
        self.answers += 1
        return Directive.CONTINUE, LEASE_SECONDS


def lease_of(registry: Any) -> Lease:
    return Lease(
        registry,
        Control(),
        claimed_at=boottime(),
        lease_seconds=LEASE_SECONDS,
        self_fence_seconds=LEASE_SECONDS / 2,
        heartbeat_seconds=0.05,
        renewed=lambda _deadline: None,
        progress=lambda: 0.0,
    )


def test_a_renewal_that_is_answered_after_the_deadline_does_not_hide_that_it_has_passed() -> None:
    """At the deadline the guards have killed the ranks: their end must not count as a failure."""
    registry = Registry()
    lease = lease_of(registry)
    lease.start()
    wait_until(lease.has_lapsed, 10, "the deadline")
    registry.open.set()
    wait_until(lambda: registry.answers > 2, 10, "some renewals")
    assert lease.has_lapsed()
    lease.end()


def test_a_lease_that_is_renewed_in_time_does_not_lapse() -> None:
    registry = Registry()
    registry.open.set()
    lease = lease_of(registry)
    first = lease.deadline
    lease.start()
    wait_until(lambda: boottime() > first, 10, "the first deadline")
    assert not lease.has_lapsed()
    lease.end()
