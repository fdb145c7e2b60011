"""A worker gives up before its run can be given to another one, whatever lease the registry grants."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from lepton_core.api import AttemptState
from lepton_fixtures.attempt_trees import gone, processes_marked, tree_of
from lepton_fixtures.jobs import COUNTING, assert_succeeded, counted, curve, submit_script, wait_checkpoint
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import wait_until
from lepton_registry.settings import RegistrySettings
from lepton_trainer.attempt.lease import KILL_SECONDS, fence_seconds
from lepton_trainer.settings import TrainerSettings

SHORT_LEASE_SECONDS = 10
STEPS, HELD_AT = 12, 7


def default(settings: type[RegistrySettings | TrainerSettings], field: str) -> float:
    return float(settings.model_fields[field].default)


def test_by_default_the_fence_and_the_kill_fit_into_the_lease() -> None:
    lease = default(RegistrySettings, "lease_seconds")
    fence = default(TrainerSettings, "self_fence_seconds")
    assert fence + KILL_SECONDS < lease
    assert fence_seconds(fence, lease) == fence


@pytest.mark.parametrize("lease", [3, 5, 8, 10, 15, 24, 25, 30, 3600])
def test_the_fence_is_cut_to_any_lease(lease: float) -> None:
    fence = fence_seconds(default(TrainerSettings, "self_fence_seconds"), lease)
    assert 0 < fence <= lease / 2 or fence + KILL_SECONDS <= lease


@pytest.mark.timeout(240)
def test_a_worker_with_a_longer_fence_than_the_lease_keeps_to_the_lease(
    start_platform: Callable[..., RunningPlatform], tmp_path: Path
) -> None:
    running = start_platform({"LEPTON_REGISTRY_LEASE_SECONDS": str(SHORT_LEASE_SECONDS)})
    client = running.client()
    gate = tmp_path / "gate"
    run = submit_script(client, tmp_path / "code", COUNTING, STEPS, HELD_AT, gate)
    wait_checkpoint(client, run)
    attempt = run.refresh().resource.current_attempt_id
    programs = processes_marked(attempt_id=attempt)["program"]
    registry = psutil.Process(running.part("registry")["pid"])
    registry.send_signal(signal.SIGSTOP)
    stopped_at = time.monotonic()
    try:
        # By the worker's own setting they would go on for 20 s.
        wait_until(lambda: gone(programs), SHORT_LEASE_SECONDS, "the programs to be killed")
        assert time.monotonic() - stopped_at < SHORT_LEASE_SECONDS
        gate.touch()
    finally:
        registry.send_signal(signal.SIGCONT)
    attempts = assert_succeeded(running, run)
    # The supervisor lived, and gave the run back as soon as it could.
    assert [each.state for each in attempts] == [AttemptState.RELEASED, AttemptState.SUCCEEDED]
    assert run.resource.retries_spent == 0
    assert curve(run) == counted(STEPS)
    assert not tree_of(attempt)
