"""What the end of an attempt means for its run."""

import pytest

from lepton_registry.runs.states import MAX_LOST_IN_A_ROW, Account, AttemptState, RunState, after_attempt

FAILED, LOST = AttemptState.FAILED, AttemptState.LOST


def test_only_failures_spend_retries():
    account = Account(retries=2, retries_spent=1)
    assert after_attempt(FAILED, account).retries_spent == 2
    for end in (AttemptState.RELEASED, AttemptState.PREEMPTED, LOST):
        verdict = after_attempt(end, account)
        assert (verdict.state, verdict.retries_spent) == (RunState.QUEUED, 1)


def test_the_last_retry_is_given_and_then_the_run_fails_with_its_reason():
    assert after_attempt(FAILED, Account(retries=1)).state is RunState.QUEUED
    verdict = after_attempt(FAILED, Account(retries=1, retries_spent=1), "out of memory")
    assert (verdict.state, verdict.reason) == (RunState.FAILED, "out of memory")
    assert after_attempt(FAILED, Account(retries=0)).state is RunState.FAILED


def test_a_final_failure_is_not_tried_again():
    verdict = after_attempt(FAILED, Account(retries=5), "loss is NaN", final=True)
    assert (verdict.state, verdict.retries_spent) == (RunState.FAILED, 0)


def test_lost_attempts_have_a_bound_of_their_own():
    account, spent = Account(retries=0), 0
    for number in range(1, MAX_LOST_IN_A_ROW):
        verdict = after_attempt(LOST, account, "host gone")
        assert (verdict.state, verdict.lost_in_a_row) == (RunState.QUEUED, number)
        account = Account(retries=0, lost_in_a_row=verdict.lost_in_a_row)
        spent += verdict.retries_spent
    verdict = after_attempt(LOST, account, "host gone")
    assert verdict.state is RunState.FAILED
    assert "5 attempts in a row" in verdict.reason
    assert spent == 0


@pytest.mark.parametrize("end", [FAILED, LOST, AttemptState.RELEASED, AttemptState.CANCELLED])
def test_whatever_ends_an_attempt_after_a_cancel_cancels_the_run(end):
    assert after_attempt(end, Account(retries=2, cancel_requested=True)).state is RunState.CANCELLED


def test_success_ends_the_run():
    assert after_attempt(AttemptState.SUCCEEDED, Account(retries=2)).state is RunState.SUCCEEDED
