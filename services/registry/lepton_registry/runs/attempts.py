"""Attempts: queries, the check that one is current, and the end of one."""

from typing import Any

import sqlalchemy as sa

from lepton_core.errors import Cause, ErrorCode, LeptonError
from lepton_registry import stored_causes
from lepton_registry.artifacts import attempt_files
from lepton_registry.database.engine import now_us, table
from lepton_registry.events import outbox
from lepton_registry.runs.states import CANCELLED, ENDED, Account, AttemptState, RunState, after_attempt
from lepton_registry.runs.tables import AttemptRow, RunRow

ATTEMPTS = table(AttemptRow)
RUNS = table(RunRow)
MAX_REASON_CHARS = 4_000


def find(conn: sa.Connection, attempt_id: str) -> sa.Row[Any] | None:
    return conn.execute(sa.select(ATTEMPTS).where(ATTEMPTS.c.id == attempt_id)).first()


def is_running(conn: sa.Connection, attempt_id: str) -> bool:
    """Without a lock: it may end before the transaction does."""
    found = find(conn, attempt_id)
    return found is not None and found.state == AttemptState.RUNNING


def require_running(conn: sa.Connection, attempt_id: str) -> sa.Row[Any]:
    """The attempt, locked until the transaction ends. Raises STALE_ATTEMPT unless it is running.

    This is the fence: a worker whose lease was lost may still run and send, so every write of a worker checks it.
    """
    row = lock_running(conn, attempt_id)
    if row is None:
        found = find(conn, attempt_id)
        raise stale(attempt_id, found.state if found else "unknown")
    return row


def lock_running(conn: sa.Connection, attempt_id: str) -> sa.Row[Any] | None:
    """The attempt, locked until the transaction ends; None when it does not run."""
    row = conn.execute(sa.select(ATTEMPTS).where(ATTEMPTS.c.id == attempt_id).with_for_update()).first()
    return row if row is not None and row.state == AttemptState.RUNNING else None


def lock_run(conn: sa.Connection, run_id: str) -> sa.Row[Any]:
    """The run, locked until the transaction ends, so that a repeated request waits for the first one.

    A transaction that changes both run and attempt locks the run first. Heartbeats, which are the most frequent, do
    not: in the rare deadlock with one, the database aborts one of the two transactions, which then runs again.
    """
    return conn.execute(sa.select(RUNS).where(RUNS.c.id == run_id).with_for_update()).one()


def stale(attempt_id: str, state: str) -> LeptonError:
    return LeptonError(ErrorCode.STALE_ATTEMPT, f"attempt {attempt_id} is no longer running (it is {state})")


def list_of_run(conn: sa.Connection, project: str, run_id: str) -> list[sa.Row[Any]]:
    mine = sa.and_(ATTEMPTS.c.project == project, ATTEMPTS.c.run_id == run_id)
    return list(conn.execute(sa.select(ATTEMPTS).where(mine).order_by(ATTEMPTS.c.number)))


def keeps_manifest(manifests: sa.Table) -> sa.ColumnElement[bool]:
    """Condition on `manifests`: whether it lists the files that an attempt left."""
    return sa.exists().where(ATTEMPTS.c.project == manifests.c.project, ATTEMPTS.c.files_digest == manifests.c.digest)


def end(
    conn: sa.Connection,
    attempt: sa.Row[Any],
    state: AttemptState,
    reason: str,
    *,
    final: bool = False,
    cause: Cause | None = None,
    finish_digest: str = "",
    files_digest: str = "",
    condition: sa.ColumnElement[bool] | None = None,
    run_values: dict[str, Any] | None = None,
) -> RunState | None:
    """Ends a running attempt and changes its run accordingly. Returns the run's new state, or None if the attempt was
    no longer running or `condition` was not met. `files_digest`: manifest of what it left. `run_values`: further
    columns of the run, for a success."""
    run = lock_run(conn, attempt.run_id)
    reason, now = reason[:MAX_REASON_CHARS], now_us()
    matches = sa.and_(ATTEMPTS.c.id == attempt.id, ATTEMPTS.c.state == AttemptState.RUNNING)
    # Of several ends of the attempt (its report, an expired lease, a restarted worker), only the first one matches.
    changed = conn.execute(
        sa.update(ATTEMPTS)
        .where(matches if condition is None else sa.and_(matches, condition))
        .values(
            state=state,
            reason=reason,
            cause_json=stored_causes.stored(cause),
            finished_at_us=now,
            finish_digest=finish_digest,
            files_digest=files_digest,
        )
    )
    if changed.rowcount != 1:
        return None
    account = Account(run.retries, run.retries_spent, run.lost_in_a_row, run.cancel_requested)
    verdict = after_attempt(state, account, reason, final=final)
    run_cause = CANCELLED if verdict.state is RunState.CANCELLED else cause
    values: dict[str, Any] = {
        "state": verdict.state,
        "reason": verdict.reason,
        "cause_json": stored_causes.stored(run_cause),
        "retries_spent": verdict.retries_spent,
        "lost_in_a_row": verdict.lost_in_a_row,
        "finished_at_us": now if verdict.state in ENDED else 0,
    }
    moved = conn.execute(
        sa.update(RUNS)
        .where(RUNS.c.id == run.id, RUNS.c.state == RunState.RUNNING, RUNS.c.current_attempt_id == attempt.id)
        .values(values | (run_values or {}))
    )
    # The run is locked and has a running attempt, so this must match; otherwise a state machine is broken.
    assert moved.rowcount == 1, f"run {run.id} has another current attempt than {attempt.id}"
    attempt_files.forget(conn, attempt.id)
    data = {"attempt": attempt.id, "number": attempt.number, "outcome": state.value, "reason": verdict.reason}
    data["cause"] = run_cause.code if run_cause is not None else ""
    outbox.write(conn, run.project, f"run.{verdict.state}", run.id, data | {"name": run.name}, now)
    return verdict.state


def running_by_worker(conn: sa.Connection, project: str = "") -> dict[str, str]:
    """Worker id → the attempt that it runs; with `project`, only attempts of that project."""
    statement = sa.select(ATTEMPTS.c.worker_id, ATTEMPTS.c.id).where(ATTEMPTS.c.state == AttemptState.RUNNING)
    if project:
        statement = statement.where(ATTEMPTS.c.project == project)
    return {row.worker_id: row.id for row in conn.execute(statement)}
