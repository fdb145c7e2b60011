"""Claims give a run to a worker, with a lease and a fence; heartbeats renew the lease."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.ids import new_id
from lepton_registry.database.engine import hold_lock, now_us, table
from lepton_registry.events import outbox
from lepton_registry.runs import attempts, checkpoints
from lepton_registry.runs.states import AttemptState, RunState
from lepton_registry.runs.tables import AttemptRow, RunRow
from lepton_registry.scheduling import leases, queue_query
from lepton_registry.workers import store as workers

RUNS = table(RunRow)
ATTEMPTS = table(AttemptRow)
# Claims lock this row: two simultaneous claims could otherwise both use the same free capacity.
SCHEDULING = "scheduling"
MAX_CLAIM_ID_CHARS = 128
_BY_CLAIM = sa.select(ATTEMPTS).where(
    ATTEMPTS.c.worker_id == sa.bindparam("worker_id"), ATTEMPTS.c.claim_id == sa.bindparam("claim_id")
)


class Directive(StrEnum):
    CONTINUE = "continue"
    CANCEL = "cancel"
    # Write a checkpoint, stop, and report the attempt as released.
    DRAIN = "drain"


@dataclass(frozen=True, slots=True)
class Claimed:
    run: sa.Row[Any]
    attempt: sa.Row[Any]
    resume: sa.Row[Any] | None


def claim(
    conn: sa.Connection, *, worker_id: str, incarnation: int, claim_id: str, lease_seconds: int
) -> Claimed | None:
    """Claims the oldest run that the worker can run; None if there is none.

    A repeated claim with the same id, after a lost answer, returns the same attempt while it runs.
    """
    if not 0 < len(claim_id) <= MAX_CLAIM_ID_CHARS:
        raise invalid("claim_id", "empty or too long", claim_id, f"1 to {MAX_CLAIM_ID_CHARS} characters")
    # Before all reads: what is read before the lock may be outdated when it is granted.
    hold_lock(conn, SCHEDULING)
    worker = workers.require_incarnation(conn, worker_id, incarnation)
    known = conn.execute(_BY_CLAIM, {"worker_id": worker_id, "claim_id": claim_id}).first()
    # The attempt may have ended since the answer was lost: then the worker must claim with a new id.
    if known is not None:
        return _claimed(conn, known) if known.state == AttemptState.RUNNING else None
    if worker.draining:
        return None
    while (candidate := queue_query.oldest_for(conn, worker)) is not None:
        attempt = _start(conn, candidate, worker, claim_id, lease_seconds)
        if attempt is not None:
            return _claimed(conn, attempt)
        # The run was cancelled after the query: try the next one.
    return None


def _start(
    conn: sa.Connection, run: sa.Row[Any], worker: sa.Row[Any], claim_id: str, lease_seconds: int
) -> sa.Row[Any] | None:
    attempt_id, now = new_id("att"), now_us()
    # The condition on the state decides: a cancel does not take the scheduling lock.
    changed = conn.execute(
        sa.update(RUNS)
        .where(RUNS.c.id == run.id, RUNS.c.state == RunState.QUEUED)
        .values(
            state=RunState.RUNNING,
            reason="",
            cause_json="",
            attempts=RUNS.c.attempts + 1,
            current_attempt_id=attempt_id,
            progress=0.0,
            started_at_us=run.started_at_us or now,
        )
    )
    if changed.rowcount != 1:
        return None
    # Stored in the attempt: which points of earlier attempts count depends on the checkpoint from which it resumed.
    resume = checkpoints.last_of_run(conn, run.id)
    values = {
        "id": attempt_id,
        "run_id": run.id,
        "project": run.project,
        "number": run.attempts + 1,
        "state": AttemptState.RUNNING,
        "worker_id": worker.id,
        "incarnation": worker.incarnation,
        "claim_id": claim_id,
        "lease_ends_us": leases.elapsed_us(conn) + lease_seconds * 1_000_000,
        "reason": "",
        "cause_json": "",
        "finish_digest": "",
        "created_at_us": now,
        "finished_at_us": 0,
        "resumed_from": resume.id if resume else "",
    }
    attempt = conn.execute(sa.insert(ATTEMPTS).returning(*ATTEMPTS.c), values).one()
    data = {"attempt": attempt_id, "number": attempt.number, "worker": worker.id, "resumed_from": attempt.resumed_from}
    outbox.write(conn, run.project, "run.running", run.id, data | {"name": run.name}, now)
    return attempt


def _claimed(conn: sa.Connection, attempt: sa.Row[Any]) -> Claimed:
    run = conn.execute(sa.select(RUNS).where(RUNS.c.id == attempt.run_id)).one()
    resume = checkpoints.find(conn, attempt.resumed_from) if attempt.resumed_from else None
    return Claimed(run, attempt, resume)


def heartbeat(conn: sa.Connection, attempt_id: str, progress: float, lease_seconds: int) -> Directive:
    """Renews the lease; returns what the worker must do. Also a late heartbeat renews it, unless the sweeper has ended
    the attempt: then it raises STALE_ATTEMPT."""
    if not 0.0 <= progress <= 1.0:
        raise invalid("progress", "out of range", progress, "0 to 1")
    # No condition on `lease_ends_us`: an expired lease is lost only when the sweeper says so, in a transaction of its
    # own.
    renewed = conn.execute(
        sa.update(ATTEMPTS)
        .where(ATTEMPTS.c.id == attempt_id, ATTEMPTS.c.state == AttemptState.RUNNING)
        .values(lease_ends_us=leases.elapsed_us(conn) + lease_seconds * 1_000_000)
        .returning(ATTEMPTS.c.run_id, ATTEMPTS.c.worker_id)
    ).first()
    if renewed is None:
        found = attempts.find(conn, attempt_id)
        raise attempts.stale(attempt_id, found.state if found else "unknown")
    draining = workers.seen(conn, renewed.worker_id)
    cancel = conn.scalar(
        sa.update(RUNS)
        .where(RUNS.c.id == renewed.run_id, RUNS.c.current_attempt_id == attempt_id)
        .values(progress=progress)
        .returning(RUNS.c.cancel_requested)
    )
    # No row: the run has a newer attempt, although this one is marked as running.
    if cancel is None:
        raise LeptonError(ErrorCode.STALE_ATTEMPT, f"attempt {attempt_id} is not the current one of its run")
    if cancel:
        return Directive.CANCEL
    return Directive.DRAIN if draining else Directive.CONTINUE
