"""Options of a Celery call: an option that would have no effect is refused, not silently dropped."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lepton_core.errors import LeptonError, invalid

# Name in Celery's message → (name in Celery's calls, why it is refused, what is allowed).
_REFUSED = {
    "eta": ("eta", "a start time (eta, countdown) is not kept: the job starts when a worker is free", "none"),
    "chain": ("chain", "no other task is called after this one", "none; read the reply, then follow the run"),
    "chord": ("chord", "no other task is called after this one", "none; read the reply, then follow the run"),
    "callbacks": ("link", "no other task is called after this one", "none; read the reply, then follow the run"),
    "errbacks": ("link_error", "no other task is called when it fails", "none; read the reply, then follow the run"),
    "timelimit": ("time_limit", "a call has no time limit here", "limits.timeout_seconds in the job"),
}


def check_options(options: Mapping[str, Any]) -> None:
    """Raises INVALID that names the first option that is set but would have no effect."""
    for name, (shown, why, allowed) in _REFUSED.items():
        value = options.get(name)
        if isinstance(value, list) and not any(each is not None for each in value):
            continue
        if value is not None:
            raise invalid(shown, why, value, allowed)


def expiry(value: Any, now: datetime) -> LeptonError | None:
    """The error for a call whose `expires` has passed, else None. Raises INVALID if `expires` is not a time.

    A time without a zone is UTC, as Celery sends it.
    """
    if value is None:
        return None
    try:
        until = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise invalid("expires", "not a time", value, "a time in ISO 8601, as Celery sends it") from None
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    if until > now:
        return None
    allowed = f"a time after {now.isoformat(timespec='seconds')}, or none"
    return invalid("expires", "the call expired before it was taken, so no run was made", value, allowed)
