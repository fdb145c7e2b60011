"""Finds how an attempt ended, from all that is known after its processes have ended. No input or output."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field

from lepton_core.workspace_files import Outcome
from lepton_trainer.processes.control_channel import Stop, StopRequest
from lepton_trainer.reporting.registry import Result

MAX_REASON_CHARS = 3500
SHOWN_LOG_LINES = 12


@dataclass(frozen=True)
class RankEnd:
    """`exit_code` is negative for a signal, None if the guard was lost. `tail`: the end of the rank's log."""

    rank: int
    exit_code: int | None
    problem: str = ""
    tail: str = ""


@dataclass(frozen=True)
class TreeEnd:
    """`failed` is the first rank that did not end well; `launcher` the launcher's exit code, None if it was killed by
    us; `complete`: every rank ended with 0, and by itself: nobody had asked it to leave."""

    complete: bool
    failed: RankEnd | None = None
    launcher: int | None = None
    launcher_tail: str = ""


@dataclass(frozen=True)
class Verdict:
    result: Result
    reason: str = ""
    final: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)


def judge(stop: StopRequest | None, outcome: Outcome | None, tree: TreeEnd, *, script: bool) -> Verdict:
    """A reported result is valid, whatever happened afterwards, except after a cancel."""
    if stop is not None and stop.kind is Stop.CANCELLED:
        return Verdict(Result.CANCELLED, stop.text)
    if outcome is not None and outcome.status == "succeeded":
        return Verdict(Result.SUCCEEDED, metrics=outcome.metrics)
    # A script need not report an outcome: exit code 0 is a success.
    if script and outcome is None and tree.complete:
        return Verdict(Result.SUCCEEDED)
    if stop is not None and stop.kind is Stop.FAULT:
        return _failed(stop.text, final=stop.final)
    if stop is not None and stop.kind in (Stop.DRAIN, Stop.FENCED):
        return Verdict(Result.RELEASED, stop.text)
    if outcome is not None and outcome.status == "failed":
        return _failed(outcome.reason or "the program reported a failure without a reason", final=outcome.final)
    if tree.failed is not None:
        return _failed(_rank_reason(tree.failed))
    if tree.launcher:
        return _failed(f"the launcher {_ended(tree.launcher)}{_shown(tree.launcher_tail)}")
    if outcome is not None:
        return _failed("the program left because of a signal that the platform did not send")
    return _failed("the program ended without reporting its outcome")


def _failed(reason: str, *, final: bool = False) -> Verdict:
    return Verdict(Result.FAILED, reason[:MAX_REASON_CHARS], final)


def _rank_reason(end: RankEnd) -> str:
    problem = f" ({end.problem})" if end.problem else ""
    if end.exit_code is None:
        return f"the guard of rank {end.rank} was killed{problem}{_shown(end.tail)}"
    return f"rank {end.rank} {_ended(end.exit_code)}{problem}{_shown(end.tail)}"


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "unknown"
    return f"was killed by signal {-code} ({name})"


def _shown(tail: str) -> str:
    lines = [line for line in tail.splitlines() if line.strip()][-SHOWN_LOG_LINES:]
    return "; last lines of its log:\n" + "\n".join(lines) if lines else ""
