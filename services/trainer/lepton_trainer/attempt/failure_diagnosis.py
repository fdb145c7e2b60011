"""Finds how an attempt ended, from all that is known after its processes have ended. No input or output."""

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lepton_core.causes import REPORTED_BY_PROGRAMS, EndCause
from lepton_core.errors import Cause, LeptonError
from lepton_core.validation import canonical_json, check_depth
from lepton_core.workspace_files import EXIT_REPORTED, IN_BACKWARD, Outcome
from lepton_trainer.processes.control_channel import Stop, StopRequest
from lepton_trainer.reporting.registry import Result

MAX_MESSAGE_CHARS = 3500
SHOWN_LOG_LINES = 12
# Of the parameters that a program reports: what is larger is left out.
MAX_REPORTED_BYTES = 8192
# How much later than it happened a guard may notice that its rank has ended, while the machine is busy.
NOTICE_SECONDS = 2.0


@dataclass(frozen=True)
class RankEnd:
    """A rank that did not end well. `exit_code` is negative for a signal, None if its guard was lost.

    `ended_at`: boot time. `tail`: the end of its log.
    """

    rank: int
    exit_code: int | None
    ended_at: float = 0.0
    problem: str = ""
    tail: str = ""


@dataclass(frozen=True)
class TreeEnd:
    """How the processes ended. `ranks`: how many there were. `failed`: those that did not end well, in that order.

    `launcher`: the exit code of what started them (of several: of the first failed rank's), None if we killed it.
    `complete`: every rank ended with 0, and none had been asked to leave.
    """

    complete: bool
    ranks: int = 1
    failed: Sequence[RankEnd] = ()
    launcher: int | None = None
    launcher_tail: str = ""


@dataclass(frozen=True)
class Verdict:
    """`final`: another attempt would fail the same way."""

    result: Result
    cause: Cause | None = None
    final: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)


def judge(stop: StopRequest | None, outcome: Outcome | None, tree: TreeEnd, *, script: bool) -> Verdict:
    """A reported result is valid, whatever happened afterwards, except after a cancel."""
    if stop is not None and stop.kind is Stop.CANCELLED:
        return Verdict(Result.CANCELLED, stop.cause)
    if outcome is not None and outcome.status == "succeeded":
        return Verdict(Result.SUCCEEDED, metrics=outcome.metrics)
    # A script need not report an outcome: exit code 0 is a success.
    if script and outcome is None and tree.complete:
        return Verdict(Result.SUCCEEDED)
    if stop is not None and stop.kind is Stop.FAULT:
        return _failed(stop.cause or Cause(EndCause.WORKER_FAULT), final=stop.final)
    if stop is not None and stop.kind in (Stop.DRAIN, Stop.FENCED):
        return Verdict(Result.RELEASED, stop.cause)
    return _fault_of_the_programs(outcome, tree)


def _fault_of_the_programs(outcome: Outcome | None, tree: TreeEnd) -> Verdict:
    if outcome is not None and outcome.status == "failed":
        followed = _followed(outcome, tree.failed)
        return _failed(_ended(followed)) if followed else _failed(_reported(outcome, tree.ranks), final=outcome.final)
    # A guard that was killed is its rank's loss. One that ended by itself has failed, and its log says why.
    launcher_failed = bool(tree.launcher and tree.launcher > 0 and tree.failed and tree.failed[0].exit_code is None)
    if tree.failed and not launcher_failed:
        return _failed(_ended(tree.failed[0]))
    if tree.launcher:
        parameters, words = _exit(tree.launcher)
        parameters |= _log_tail(tree.launcher_tail)
        return _failed(Cause(EndCause.LAUNCHER_FAILED, parameters, f"the launcher {words}"))
    if outcome is not None:
        text = "the program left because of a signal that the platform did not send"
        return _failed(Cause(EndCause.STOPPED_FROM_OUTSIDE, {}, text))
    return _failed(Cause(EndCause.NO_OUTCOME, {}, "the program ended without reporting its outcome"))


def _failed(cause: Cause, *, final: bool = False) -> Verdict:
    return Verdict(Result.FAILED, replace(cause, message=cause.message[:MAX_MESSAGE_CHARS]), final)


def _followed(outcome: Outcome, failed: Sequence[RankEnd]) -> RankEnd | None:
    """The end of another rank that the reported failure only followed; None if the report is the first failure.

    What a rank reports when a peer dies is a plain error of its collective, and not every recipe has its collectives
    from the engine. So a rank that reported nothing comes first if it ended before; and before a lost peer also if its
    guard noticed its end a little later.
    """
    others = [each for each in failed if each.rank != outcome.rank and each.exit_code != EXIT_REPORTED]
    ended_at = next((each.ended_at for each in failed if each.rank == outcome.rank), None)
    if outcome.code == EndCause.PEER_LOST:
        # Ranks that are asked to leave because this one failed come later, and end by SIGTERM.
        return next((each for each in others if ended_at is None or _is_before(each, ended_at)), None)
    if outcome.code == EndCause.PROGRAM_FAILED and not outcome.final and ended_at is not None:
        return next((each for each in others if each.ended_at < ended_at), None)
    return None


def _is_before(end: RankEnd, at: float) -> bool:
    return end.ended_at < at or (end.ended_at < at + NOTICE_SECONDS and end.exit_code != -signal.SIGTERM)


def _reported(outcome: Outcome, ranks: int) -> Cause:
    """Written by code that is not ours: an unknown code or rank, and parameters of a wrong size, are left out."""
    code = EndCause(outcome.code) if outcome.code in REPORTED_BY_PROGRAMS else EndCause.PROGRAM_FAILED
    parameters = dict(outcome.parameters) if _is_bounded(outcome.parameters) else {}
    if code is EndCause.PEER_LOST and parameters.get(IN_BACKWARD):
        # Nobody else failed, so this is the backward pass's own error.
        code = EndCause.PROGRAM_FAILED
    if outcome.rank is not None and outcome.rank < ranks:
        parameters["rank"] = outcome.rank
    return Cause(code, parameters, outcome.reason or "the program reported a failure without a reason")


def _is_bounded(parameters: Mapping[str, Any]) -> bool:
    try:
        check_depth(parameters)
        return len(canonical_json(parameters).encode()) <= MAX_REPORTED_BYTES
    except LeptonError:
        return False


def _ended(end: RankEnd) -> Cause:
    problem = f" ({end.problem})" if end.problem else ""
    parameters: dict[str, Any] = {"rank": end.rank, **_log_tail(end.tail)}
    if end.exit_code is None:
        return Cause(EndCause.GUARD_LOST, parameters, f"the guard of rank {end.rank} was killed{problem}")
    code = EndCause.RANK_KILLED if end.exit_code < 0 else EndCause.RANK_EXITED
    more, words = _exit(end.exit_code)
    if end.problem:
        code, more = EndCause.WORKER_FAULT, {**more, "part": "guard"}
    return Cause(code, parameters | more, f"rank {end.rank} {words}{problem}")


def _exit(code: int) -> tuple[dict[str, Any], str]:
    """As parameters, and in words."""
    if code >= 0:
        return {"exit_code": code}, f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return {"signal": -code, "signal_name": name}, f"was killed by signal {-code} ({name})"


def _log_tail(tail: str) -> dict[str, Any]:
    return {"log_tail": [line for line in tail.splitlines() if line.strip()][-SHOWN_LOG_LINES:]}
