"""How an attempt's end is judged."""

from __future__ import annotations

from typing import Any

import pytest

from lepton_core.causes import EndCause
from lepton_core.errors import Cause, ErrorCode, FieldError, LeptonError
from lepton_core.workspace_files import IN_BACKWARD, Outcome
from lepton_trainer.attempt.failure_diagnosis import RankEnd, TreeEnd, Verdict, judge
from lepton_trainer.attempt.lease import fence_seconds
from lepton_trainer.end_causes import end_cause
from lepton_trainer.processes.control_channel import Control, Stop, StopRequest
from lepton_trainer.reporting.registry import Result

KILLED = TreeEnd(
    complete=False, ranks=2, failed=[RankEnd(1, -9, ended_at=5.0, tail="loss 0.3\n\nabout to die\n")], launcher=1
)
WELL = TreeEnd(complete=True, launcher=0)
SUCCEEDED = Outcome(status="succeeded", metrics={"accuracy": 0.9})
TIMEOUT = Cause(EndCause.TIMEOUT, {"seconds": 3}, "out of time")


def failed(**more: Any) -> Outcome:
    return Outcome(status="failed", **more)


def ended(*ends: RankEnd, launcher: int = -9, launcher_tail: str = "") -> TreeEnd:
    return TreeEnd(complete=False, ranks=3, failed=ends, launcher=launcher, launcher_tail=launcher_tail)


def cause_of(verdict: Verdict) -> Cause:
    assert verdict.cause is not None
    return verdict.cause


def test_a_result_stands_whatever_the_exit_code() -> None:
    verdict = judge(None, SUCCEEDED, KILLED, script=False)
    assert (verdict.result, verdict.metrics, verdict.cause) == (Result.SUCCEEDED, {"accuracy": 0.9}, None)


@pytest.mark.parametrize("kind", [Stop.DRAIN, Stop.FENCED, Stop.FAULT])
def test_a_result_stands_although_the_platform_wanted_it_to_stop(kind: Stop) -> None:
    assert judge(StopRequest(kind, TIMEOUT), SUCCEEDED, KILLED, script=False).result is Result.SUCCEEDED


def test_cancelled_is_cancelled_even_with_a_result() -> None:
    stop = StopRequest(Stop.CANCELLED, Cause(EndCause.CANCELLED, {}, "cancelled"))
    verdict = judge(stop, SUCCEEDED, WELL, script=False)
    assert (verdict.result, verdict.cause) == (Result.CANCELLED, stop.cause)


def test_a_killed_rank_is_a_failure_with_signal_and_the_end_of_its_log() -> None:
    verdict = judge(None, None, KILLED, script=False)
    assert (verdict.result, verdict.final) == (Result.FAILED, False)
    tail = ["loss 0.3", "about to die"]
    parameters = {"rank": 1, "signal": 9, "signal_name": "SIGKILL", "log_tail": tail}
    assert verdict.cause == Cause(EndCause.RANK_KILLED, parameters, "rank 1 was killed by signal 9 (SIGKILL)")


@pytest.mark.parametrize(
    ("end", "code", "more", "words"),
    [
        (RankEnd(0, 3), EndCause.RANK_EXITED, {"exit_code": 3}, "rank 0 ended with exit code 3"),
        (RankEnd(0, -99), EndCause.RANK_KILLED, {"signal": 99, "signal_name": "unknown"}, "rank 0 was killed by"),
        (RankEnd(0, None), EndCause.GUARD_LOST, {}, "the guard of rank 0 was killed"),
        (RankEnd(0, 127, problem="no file"), EndCause.WORKER_FAULT, {"exit_code": 127, "part": "guard"}, "(no file)"),
    ],
)
def test_each_way_that_a_rank_ends_has_its_code(end: RankEnd, code: str, more: dict[str, Any], words: str) -> None:
    cause = cause_of(judge(None, None, ended(end), script=True))
    assert (cause.code, cause.parameters) == (code, {"rank": 0, "log_tail": [], **more})
    assert words in cause.message


def test_without_a_failed_rank_the_launcher_or_the_missing_outcome_is_the_cause() -> None:
    died = TreeEnd(complete=False, launcher=-11, launcher_tail="Segmentation fault\n")
    cause = cause_of(judge(None, None, died, script=False))
    assert (cause.code, cause.parameters["signal_name"]) == (EndCause.LAUNCHER_FAILED, "SIGSEGV")
    assert cause.parameters["log_tail"] == ["Segmentation fault"]
    assert cause_of(judge(None, None, WELL, script=False)).code == EndCause.NO_OUTCOME
    assert cause_of(judge(None, Outcome(status="released"), WELL, script=True)).code == EndCause.STOPPED_FROM_OUTSIDE


def test_a_guard_that_ended_by_itself_is_shown_with_the_log_of_the_guards() -> None:
    tree = ended(RankEnd(1, None, 4.0), RankEnd(0, -15, 5.0), launcher=1, launcher_tail="OSError: no space\n")
    cause = cause_of(judge(None, None, tree, script=True))
    assert cause == Cause(
        EndCause.LAUNCHER_FAILED,
        {"exit_code": 1, "log_tail": ["OSError: no space"]},
        "the launcher ended with exit code 1",
    )


def test_nan_is_final_and_its_report_is_the_cause() -> None:
    outcome = failed(reason="loss is NaN", final=True, rank=0, code="not_finite", parameters={"step": 7})
    verdict = judge(None, outcome, ended(RankEnd(1, -6, 1.0), RankEnd(0, 1, 2.0)), script=False)
    assert (verdict.result, verdict.final) == (Result.FAILED, True)
    assert verdict.cause == Cause(EndCause.NOT_FINITE, {"step": 7, "rank": 0}, "loss is NaN")


LOST = {"code": "peer_lost", "rank": 1, "reason": "RuntimeError: closed", "parameters": {"exception": "RuntimeError"}}


@pytest.mark.parametrize("code", [-9, 2, None])
@pytest.mark.parametrize("ended_at", [4.0, 5.3])
def test_a_lost_peer_is_the_fault_of_the_rank_that_reported_nothing(code: int | None, ended_at: float) -> None:
    """Also if its guard noticed the end a little later."""
    ends = sorted([RankEnd(0, code, ended_at), RankEnd(1, 1, 5.0)], key=lambda end: end.ended_at)
    cause = cause_of(judge(None, failed(**LOST), ended(*ends), script=False))
    assert cause.parameters["rank"] == 0


@pytest.mark.parametrize("other", [RankEnd(0, 1, 4.0), RankEnd(0, -15, 5.1), RankEnd(0, None, 10.5)])
def test_a_lost_peer_stays_the_cause_if_the_others_ended_because_of_it(other: RankEnd) -> None:
    """They lost a peer too, or were asked to leave, or were killed when they did not."""
    cause = cause_of(judge(None, failed(**LOST), ended(RankEnd(1, 1, 5.0), other), script=False))
    assert (cause.code, cause.parameters) == ("peer_lost", {"exception": "RuntimeError", "rank": 1})


def test_a_backward_pass_that_fails_while_nobody_has_gone_failed_by_itself() -> None:
    outcome = failed(**{**LOST, "parameters": {IN_BACKWARD: True}})
    both = ended(RankEnd(1, 1, 5.0), RankEnd(0, 1, 5.1))
    assert cause_of(judge(None, outcome, both, script=False)).code == EndCause.PROGRAM_FAILED
    killed = ended(RankEnd(0, -9, 4.9), RankEnd(1, 1, 5.0))
    assert cause_of(judge(None, outcome, killed, script=False)).code == EndCause.RANK_KILLED


def test_a_plain_error_gives_way_only_to_a_rank_that_ended_before() -> None:
    outcome = failed(code="program_failed", rank=1, reason="RuntimeError: closed")
    before = ended(RankEnd(0, -9, 4.9), RankEnd(1, 1, 5.0))
    assert cause_of(judge(None, outcome, before, script=False)).code == EndCause.RANK_KILLED
    after = ended(RankEnd(1, 1, 5.0), RankEnd(0, -6, 5.1))
    assert cause_of(judge(None, outcome, after, script=False)).message == "RuntimeError: closed"


@pytest.mark.parametrize(
    "reported",
    [
        {"code": "lease_lost", "rank": 99, "parameters": {}},
        {"code": "no such code", "parameters": {"x": "y" * 10_000}},
        {"code": "", "parameters": {"x": "\ud800"}},
        {"code": "Cancelled"},
    ],
)
def test_what_a_program_may_not_report_is_left_out_and_its_reason_stays(reported: dict[str, Any]) -> None:
    verdict = judge(None, failed(reason="it is so", **reported), WELL, script=True)
    assert verdict.cause == Cause(EndCause.PROGRAM_FAILED, {}, "it is so")


def test_parameters_nested_too_deeply_are_left_out() -> None:
    deep: dict[str, Any] = {}
    for _ in range(200):
        deep = {"x": deep}
    assert cause_of(judge(None, failed(parameters=deep), WELL, script=True)).parameters == {}


def test_a_script_that_ends_well_has_succeeded_and_a_recipe_has_to_say_so() -> None:
    assert judge(None, None, WELL, script=True).result is Result.SUCCEEDED
    assert judge(None, None, WELL, script=False).result is Result.FAILED


@pytest.mark.parametrize("outcome", [None, Outcome(status="released"), Outcome(status="failed", reason="SIGTERM")])
def test_what_ends_under_a_drain_or_fence_is_released(outcome: Outcome | None) -> None:
    why = Cause(EndCause.RELEASED, {}, "why")
    for kind in (Stop.DRAIN, Stop.FENCED):
        verdict = judge(StopRequest(kind, why), outcome, KILLED, script=True)
        assert (verdict.result, verdict.cause) == (Result.RELEASED, why)


def test_released_without_a_drain_would_cost_nothing_for_ever() -> None:
    assert judge(None, Outcome(status="released"), WELL, script=True).result is Result.FAILED


def test_a_fault_of_the_platforms_limits_is_the_cause() -> None:
    verdict = judge(StopRequest(Stop.FAULT, TIMEOUT, final=True), None, KILLED, script=True)
    assert (verdict.result, verdict.cause, verdict.final) == (Result.FAILED, TIMEOUT, True)


def test_the_graver_reason_to_stop_wins() -> None:
    control = Control()
    control.request(Stop.DRAIN)
    control.request(Stop.CANCELLED)
    control.request(Stop.FAULT)
    assert control.stopped_by(Stop.CANCELLED)
    assert not control.abandoned.is_set()
    control.request(Stop.STALE)
    assert control.abandoned.is_set()


def test_the_cause_of_an_error_is_its_own_or_its_code_and_fields() -> None:
    wrong = LeptonError(ErrorCode.INVALID, "x: bad", [FieldError("x", "bad")])
    cause = Cause(
        EndCause.BAD_DATA, {"error": "invalid", "rank": 1, "fields": [{"field": "x", "message": "bad"}]}, "x: bad"
    )
    assert end_cause(wrong, EndCause.BAD_DATA, rank=1) == cause
    full = LeptonError(ErrorCode.UNAVAILABLE, "full", cause=Cause(EndCause.DISK_FULL, {"free_bytes": 1}))
    assert end_cause(full, EndCause.WORKER_FAULT) == Cause(EndCause.DISK_FULL, {"free_bytes": 1}, "full")
    # A cause of a request's failure is not one of an attempt's end.
    away = LeptonError(ErrorCode.UNAVAILABLE, "away", cause=Cause("gateway_unreachable"))
    assert end_cause(away, EndCause.INPUTS_UNAVAILABLE).code == EndCause.INPUTS_UNAVAILABLE


@pytest.mark.parametrize("lease", [3.0, 5.0, 10.0, 30.0, 600.0])
def test_the_fence_and_the_kill_come_before_the_lease_ends(lease: float) -> None:
    assert fence_seconds(20.0, lease) <= max(lease - 5, lease / 2)
