"""The state machine of runs and attempts: the effect of an attempt's end on its run. No database access."""

from dataclasses import dataclass

from lepton_core.api.runs import AttemptState, RunState
from lepton_core.causes import EndCause
from lepton_core.errors import Cause

MAX_LOST_IN_A_ROW = 5
# Of every run that ended because somebody cancelled it, whatever its last attempt met.
CANCELLED = Cause(EndCause.CANCELLED, {}, "cancelled on request")
ENDED = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})
# The states that a worker may report; only the registry sets the others.
REPORTED = frozenset({AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.RELEASED, AttemptState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Account:
    """The retries that a run has used. `lost_in_a_row` counts from the last committed checkpoint."""

    retries: int
    retries_spent: int = 0
    lost_in_a_row: int = 0
    cancel_requested: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """The run's next state."""

    state: RunState
    reason: str
    retries_spent: int
    lost_in_a_row: int


def after_attempt(end: AttemptState, account: Account, reason: str = "", *, final: bool = False) -> Verdict:
    """Only failures use up the user's retries. Lost attempts have a limit of their own.

    `final`: a failure that would occur again in the next attempt.
    """
    spent, lost = account.retries_spent, account.lost_in_a_row
    if end is AttemptState.SUCCEEDED:
        return Verdict(RunState.SUCCEEDED, "", spent, lost)
    if account.cancel_requested:
        return Verdict(RunState.CANCELLED, CANCELLED.message, spent, lost)
    if end is AttemptState.LOST:
        if lost + 1 >= MAX_LOST_IN_A_ROW:
            why = f"{lost + 1} attempts in a row were lost without a new checkpoint; the last one: {reason}"
            return Verdict(RunState.FAILED, why, spent, lost + 1)
        return Verdict(RunState.QUEUED, reason, spent, lost + 1)
    if end is AttemptState.FAILED:
        if final or spent >= account.retries:
            return Verdict(RunState.FAILED, reason, spent, lost)
        return Verdict(RunState.QUEUED, reason, spent + 1, lost)
    assert end in (AttemptState.RELEASED, AttemptState.PREEMPTED), end
    return Verdict(RunState.QUEUED, reason, spent, lost)


__all__ = [
    "CANCELLED",
    "ENDED",
    "MAX_LOST_IN_A_ROW",
    "REPORTED",
    "Account",
    "AttemptState",
    "RunState",
    "Verdict",
    "after_attempt",
]
