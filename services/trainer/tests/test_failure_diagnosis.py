"""How an attempt's end is judged."""

from __future__ import annotations

import pytest

from lepton_core.workspace_files import Outcome
from lepton_trainer.attempt.failure_diagnosis import RankEnd, TreeEnd, judge
from lepton_trainer.attempt.lease import fence_seconds
from lepton_trainer.processes.control_channel import Control, Stop, StopRequest
from lepton_trainer.reporting.registry import Result

KILLED = TreeEnd(complete=False, failed=RankEnd(1, -9, tail="loss 0.3\nabout to die\n"), launcher=1)
WELL = TreeEnd(complete=True, launcher=0)
SUCCEEDED = Outcome(status="succeeded", metrics={"accuracy": 0.9})


def test_a_result_stands_whatever_the_exit_code() -> None:
    verdict = judge(None, SUCCEEDED, KILLED, script=False)
    assert (verdict.result, verdict.metrics) == (Result.SUCCEEDED, {"accuracy": 0.9})


@pytest.mark.parametrize("kind", [Stop.DRAIN, Stop.FENCED, Stop.FAULT])
def test_a_result_stands_although_the_platform_wanted_it_to_stop(kind: Stop) -> None:
    assert judge(StopRequest(kind, "late"), SUCCEEDED, KILLED, script=False).result is Result.SUCCEEDED


def test_cancelled_is_cancelled_even_with_a_result() -> None:
    assert judge(StopRequest(Stop.CANCELLED, "cancelled"), SUCCEEDED, WELL, script=False).result is Result.CANCELLED


def test_a_killed_rank_is_a_failure_with_signal_and_last_words() -> None:
    verdict = judge(None, None, KILLED, script=False)
    assert verdict.result is Result.FAILED
    assert not verdict.final
    assert "rank 1 was killed by signal 9 (SIGKILL)" in verdict.reason
    assert "about to die" in verdict.reason


def test_nan_is_final_and_speaks_for_itself() -> None:
    verdict = judge(None, Outcome(status="failed", reason="loss is NaN at step 7", final=True), KILLED, script=False)
    assert (verdict.result, verdict.reason, verdict.final) == (Result.FAILED, "loss is NaN at step 7", True)


def test_a_script_that_ends_well_has_succeeded_and_a_recipe_has_to_say_so() -> None:
    assert judge(None, None, WELL, script=True).result is Result.SUCCEEDED
    assert judge(None, None, WELL, script=False).result is Result.FAILED


@pytest.mark.parametrize("outcome", [None, Outcome(status="released"), Outcome(status="failed", reason="SIGTERM")])
def test_what_ends_under_a_drain_or_fence_is_released(outcome: Outcome | None) -> None:
    for kind in (Stop.DRAIN, Stop.FENCED):
        assert judge(StopRequest(kind, "why"), outcome, KILLED, script=True).result is Result.RELEASED


def test_released_without_a_drain_would_cost_nothing_for_ever() -> None:
    assert judge(None, Outcome(status="released"), WELL, script=True).result is Result.FAILED


def test_a_fault_of_the_platforms_limits_tells_its_reason() -> None:
    verdict = judge(StopRequest(Stop.FAULT, "out of time", final=True), None, KILLED, script=True)
    assert (verdict.result, verdict.reason, verdict.final) == (Result.FAILED, "out of time", True)


def test_the_graver_reason_to_stop_wins() -> None:
    control = Control()
    control.request(Stop.DRAIN)
    control.request(Stop.CANCELLED)
    control.request(Stop.FAULT)
    assert control.stopped_by(Stop.CANCELLED)
    assert not control.abandoned.is_set()
    control.request(Stop.STALE)
    assert control.abandoned.is_set()


@pytest.mark.parametrize("lease", [3.0, 5.0, 10.0, 30.0, 600.0])
def test_the_fence_and_the_kill_come_before_the_lease_ends(lease: float) -> None:
    assert fence_seconds(20.0, lease) <= max(lease - 5, lease / 2)
