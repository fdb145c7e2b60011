"""Selects the attempt of a run whose files are listed or fetched."""

from __future__ import annotations

from collections.abc import Sequence

from lepton_core.api import Attempt
from lepton_core.errors import ErrorCode, FieldError, LeptonError


def left_by(run_id: str, attempts: Sequence[Attempt], number: int | None = None) -> Attempt | None:
    """The attempt of this number if it left files; without a number, the last one that did. None: no files are kept.

    Raises NOT_FOUND if there is no attempt of this number.
    """
    if number is not None and all(each.number != number for each in attempts):
        message = f"run {run_id} has no attempt {number}"
        raise _not_found(message, number, ", ".join(str(each.number) for each in attempts) or "none yet")
    kept = [each for each in attempts if each.files_digest and number in (None, each.number)]
    return kept[-1] if kept else None


def require_left(run_id: str, attempts: Sequence[Attempt], number: int | None = None) -> Attempt:
    """The same, but NOT_FOUND if no files are kept."""
    found = left_by(run_id, attempts, number)
    if found is None:
        of = f"run {run_id}" if number is None else f"attempt {number} of run {run_id}"
        message = f"no files of {of} are kept: only those of a script whose result cannot be used are"
        allowed = ", ".join(str(each.number) for each in attempts if each.files_digest)
        raise _not_found(message, number, allowed or "none: no attempt of this run left files")
    return found


def _not_found(message: str, number: int | None, allowed: str) -> LeptonError:
    value = "" if number is None else str(number)
    return LeptonError(ErrorCode.NOT_FOUND, message, [FieldError("attempt", message, value, allowed)])
