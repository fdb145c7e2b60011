"""Runs: queries, cancel and retry."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import check_label, digest_of, id_range
from lepton_registry import stored_causes
from lepton_registry.database.engine import now_us, table
from lepton_registry.events import outbox
from lepton_registry.paging import Page, read_page
from lepton_registry.runs import search_index
from lepton_registry.runs.states import CANCELLED, ENDED, RunState
from lepton_registry.runs.submission import CLIENT_NAMESPACE, Key, parse_submission, submit
from lepton_registry.runs.tables import RunRow

RUNS = table(RunRow)


def get(conn: sa.Connection, project: str, run_id: str) -> sa.Row[Any]:
    found = conn.execute(sa.select(RUNS).where(RUNS.c.project == project, RUNS.c.id == run_id)).first()
    if found is None:
        raise LeptonError(ErrorCode.NOT_FOUND, f"there is no run {run_id!r}")
    return found


def list_runs(
    conn: sa.Connection,
    project: str,
    *,
    state: RunState | None,
    before: str,
    size: int,
    id_prefix: str = "",
    labels: Mapping[str, str] | None = None,
    **equal: str,
) -> Page:
    """A page, newest first, older than the run `before`, with all of `labels`.

    `equal`: column → name; an empty one matches any. Raises INVALID for a value that is not a name.
    """
    statement = sa.select(RUNS).where(RUNS.c.project == project)
    if state is not None:
        statement = statement.where(RUNS.c.state == state)
    for column, value in equal.items():
        if value:
            # A reference such as digits@2 would match nothing, which looks like an answer.
            check_label(value, column)
            statement = statement.where(RUNS.c[column] == value)
    if id_prefix:
        ends = id_range(id_prefix, "run")
        # A range, so that the index of ids is used.
        statement = statement.where(RUNS.c.id.between(*ends) if ends else sa.false())
    for name, value in (labels or {}).items():
        statement = statement.where(RUNS.c.id.in_(search_index.runs_with_label(project, name, value)))
    if before:
        statement = statement.where(RUNS.c.id < before)
    return read_page(conn, statement.order_by(RUNS.c.id.desc()), size)


def cancel(conn: sa.Connection, project: str, run_id: str, by: str) -> sa.Row[Any]:
    """A queued run ends at once; a running one ends when its worker reports it. May be repeated."""
    mine = sa.and_(RUNS.c.project == project, RUNS.c.id == run_id)
    ended = conn.execute(
        sa.update(RUNS)
        .where(mine, RUNS.c.state == RunState.QUEUED)
        .values(
            state=RunState.CANCELLED,
            cancel_requested=True,
            reason=CANCELLED.message,
            cause_json=stored_causes.stored(CANCELLED),
            finished_at_us=now_us(),
        )
        .returning(*RUNS.c)
    ).first()
    if ended is not None:
        outbox.write(conn, project, "run.cancelled", run_id, {"name": ended.name, "by": by, "cause": CANCELLED.code})
        return ended
    asked = conn.execute(
        sa.update(RUNS)
        .where(mine, RUNS.c.state == RunState.RUNNING, RUNS.c.cancel_requested.is_(False))
        .values(cancel_requested=True)
        .returning(*RUNS.c)
    ).first()
    if asked is not None:
        outbox.write(conn, project, "run.cancel_requested", run_id, {"name": asked.name, "by": by})
        return asked
    run = get(conn, project, run_id)
    if run.state in (RunState.SUCCEEDED, RunState.FAILED):
        raise LeptonError(ErrorCode.FAILED_PRECONDITION, f"run {run_id} has already ended: it {run.state}")
    return run


def retry(
    conn: sa.Connection, project: str, run_id: str, idempotency_key: str, by: str, *, isolated: bool = False
) -> tuple[sa.Row[Any], bool]:
    """A new run with the same spec and the same exact versions. It is isolated if the first one was."""
    run = get(conn, project, run_id)
    if run.state not in ENDED:
        raise LeptonError(ErrorCode.FAILED_PRECONDITION, f"run {run_id} has not ended: it is {run.state}")
    key = Key(CLIENT_NAMESPACE, idempotency_key, f"retry:{digest_of(run_id.encode())}")
    apart = isolated or run.isolated
    job = parse_submission(project, key, run.spec_json, run.recipe, run.recipe_version, by, isolated=apart)
    return submit(conn, replace(job, retry_of=run_id))


def keeps_manifest(manifests: sa.Table) -> sa.ColumnElement[bool]:
    """Condition on `manifests`: whether the code of a run uses the manifest."""
    return sa.exists().where(RUNS.c.project == manifests.c.project, RUNS.c.code_digest == manifests.c.digest)
