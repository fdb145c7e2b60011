"""Selects a checkpoint of a run."""

from __future__ import annotations

from collections.abc import Sequence

from lepton_core.api import Checkpoint
from lepton_core.errors import ErrorCode, FieldError, LeptonError, invalid

BEST = "best"
LAST = "last"


def best_checkpoint(found: Sequence[Checkpoint]) -> Checkpoint | None:
    """The first with the highest score; None if none has a score."""
    scored = [(each.score, each) for each in found if each.score is not None]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


def find_checkpoint(run_id: str, found: Sequence[Checkpoint], which: int | str) -> Checkpoint:
    """The checkpoint of a step, the `best` or the `last`, from those of a run in the order in which they were made.

    If two attempts made one of the same step, it is the later one. Raises INVALID for another word, and NOT_FOUND.
    """
    step = _step(which)
    if step is not None:
        chosen = next((each for each in reversed(found) if each.step == step), None)
    else:
        chosen = best_checkpoint(found) if which == BEST else found[-1] if found else None
    if chosen is None:
        raise _not_found(run_id, found, which)
    return chosen


def _step(which: int | str) -> int | None:
    if isinstance(which, int) and not isinstance(which, bool):
        return which
    if which in (BEST, LAST):
        return None
    if isinstance(which, str) and which.isascii() and which.isdecimal() and len(which) < 20:
        return int(which)
    raise invalid("checkpoint", "does not identify a checkpoint", which, f"a step, {BEST} or {LAST}")


def _not_found(run_id: str, found: Sequence[Checkpoint], which: int | str) -> LeptonError:
    if not found:
        message, allowed = f"run {run_id} has no checkpoints", "none"
    elif which == BEST:
        message, allowed = f"no checkpoint of run {run_id} has a score, so none is the best", f"{LAST}, or a step"
    else:
        message = f"run {run_id} has no stored checkpoint of step {which}"
        allowed = ", ".join(str(step) for step in sorted({each.step for each in found}))
    return LeptonError(ErrorCode.NOT_FOUND, message, [FieldError("checkpoint", message, str(which), allowed)])
