"""The state machine of runs and attempts. Pure: what an attempt's end means for its run."""

from dataclasses import dataclass

from lepton_core.api.runs import AttemptState, RunState
from lepton_core.causes import EndCause
from lepton_core.errors import Cause

MAX_LOST_IN_A_ROW = 5
# Of every run that ended because somebody cancelled it, whatever its last attempt met.
CANCELLED = Cause(EndCause.CANCELLED, {}, "cancelled on request")
ENDED = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})
# What a worker may report; the others are the registry's to say.
REPORTED = frozenset({AttemptState.SUCCEEDED, AttemptState.FAILED, AttemptState.RELEASED, AttemptState.CANCELLED})


@dataclass(frozen=True, slots=True)
class Account:
    """What a run has spent. `lost_in_a_row` counts from the last committed checkpoint."""

    retries: int
    retries_spent: int = 0
    lost_in_a_row: int = 0
    cancel_requested: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where the run goes now."""

    state: RunState
    reason: str
    retries_spent: int
    lost_in_a_row: int


def after_attempt(end: AttemptState, account: Account, reason: str = "", *, final: bool = False) -> Verdict:
    """Only a failure spends the user's retries, and only lost attempts have a bound of their own.

    `final`: a failure that trying again cannot mend.
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
