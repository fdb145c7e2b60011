"""Committed checkpoints. A checkpoint exists if it has a row here."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError, field_error, invalid
from lepton_core.ids import new_id
from lepton_registry.artifacts import store as artifacts
from lepton_registry.artifacts.manifest import FileLike, build_manifest
from lepton_registry.database.engine import now_us, table
from lepton_registry.events import outbox
from lepton_registry.lineage.tables import LineageEdgeRow
from lepton_registry.runs import attempts, journals
from lepton_registry.runs.tables import AttemptRow, CheckpointRow, RunRow

CHECKPOINTS = table(CheckpointRow)
RUNS = table(RunRow)
ATTEMPTS = table(AttemptRow)
LINEAGE = table(LineageEdgeRow)
NEWEST_FIRST = (CHECKPOINTS.c.step.desc(), CHECKPOINTS.c.created_at_us.desc())


def commit(
    conn: sa.Connection,
    attempt_id: str,
    *,
    step: int,
    epoch: int,
    files: Iterable[FileLike],
    metrics_json: str,
    offsets: Mapping[str, int],
    score: float | None = None,
    keep_last: int = 2,
) -> sa.Row[Any]:
    """Commits a checkpoint; a repeated commit returns the same row. Raises FAILED_PRECONDITION until every journal is
    committed up to the offset in the checkpoint: an attempt that resumed from it would otherwise lack earlier
    points."""
    if step < 0 or epoch < 0:
        raise invalid("step", "negative", min(step, epoch), "0 or more")
    if score is not None and not math.isfinite(score):
        raise invalid(
            "score", "not a finite number", score, "a finite number (higher is better), or none if it was not measured"
        )
    files = list(files)
    running = attempts.find(conn, attempt_id)
    if running is not None:
        attempts.lock_run(conn, running.run_id)
    known = _committed(conn, attempt_id, step)
    if known is not None:
        return _same(known, files)
    attempt = attempts.require_running(conn, attempt_id)
    _require_shipped(conn, attempt_id, offsets)
    manifest = artifacts.commit_manifest(conn, attempt.project, files)
    values = {
        "id": new_id("ckp"),
        "project": attempt.project,
        "run_id": attempt.run_id,
        "attempt_id": attempt_id,
        "step": step,
        "epoch": epoch,
        "manifest_digest": manifest.digest,
        "metrics_json": metrics_json or "{}",
        "offsets_json": json.dumps(dict(offsets), sort_keys=True),
        "created_at_us": now_us(),
        "score": score,
    }
    row = conn.execute(sa.insert(CHECKPOINTS).returning(*CHECKPOINTS.c), values).one()
    conn.execute(sa.update(RUNS).where(RUNS.c.id == attempt.run_id).values(lost_in_a_row=0))
    _drop_superseded(conn, attempt.run_id, keep_last)
    data = {"checkpoint": row.id, "step": step, "epoch": epoch, "attempt": attempt_id}
    outbox.write(conn, attempt.project, "run.checkpointed", attempt.run_id, data)
    return row


def is_committed(conn: sa.Connection, attempt_id: str, step: int) -> bool:
    return _committed(conn, attempt_id, step) is not None


def _committed(conn: sa.Connection, attempt_id: str, step: int) -> sa.Row[Any] | None:
    mine = sa.and_(CHECKPOINTS.c.attempt_id == attempt_id, CHECKPOINTS.c.step == step)
    return conn.execute(sa.select(CHECKPOINTS).where(mine)).first()


def _drop_superseded(conn: sa.Connection, run_id: str, keep_last: int) -> None:
    """Deletes old checkpoints, except the last ones, the best one, and those that are referred to by lineage or by an
    attempt that resumed from them (metrics need their offsets). Their files are collected later."""
    mine = sa.select(CHECKPOINTS.c.id).where(CHECKPOINTS.c.run_id == run_id)
    last = mine.order_by(*NEWEST_FIRST).limit(keep_last)
    # Of equal scores, the first is the best: later ones are no improvement.
    measured = mine.where(CHECKPOINTS.c.score.is_not(None))
    best = measured.order_by(CHECKPOINTS.c.score.desc(), CHECKPOINTS.c.step).limit(1)
    resumed = sa.exists().where(ATTEMPTS.c.run_id == run_id, ATTEMPTS.c.resumed_from == CHECKPOINTS.c.id)
    named = sa.exists().where(LINEAGE.c.project == CHECKPOINTS.c.project, LINEAGE.c.to_id == CHECKPOINTS.c.id)
    superseded = sa.and_(CHECKPOINTS.c.id.not_in(last), CHECKPOINTS.c.id.not_in(best), ~resumed, ~named)
    conn.execute(sa.delete(CHECKPOINTS).where(CHECKPOINTS.c.run_id == run_id, superseded))


def keeps_manifest(manifests: sa.Table) -> sa.ColumnElement[bool]:
    """Condition on `manifests`: whether a checkpoint uses the manifest."""
    return sa.exists().where(
        CHECKPOINTS.c.project == manifests.c.project, CHECKPOINTS.c.manifest_digest == manifests.c.digest
    )


def _same(known: sa.Row[Any], files: list[FileLike]) -> sa.Row[Any]:
    if build_manifest(files).digest != known.manifest_digest:
        raise LeptonError(
            ErrorCode.CONFLICT, f"another checkpoint of step {known.step} is already committed ({known.id})"
        )
    return known


def _require_shipped(conn: sa.Connection, attempt_id: str, offsets: Mapping[str, int]) -> None:
    committed = journals.committed_offsets(conn, attempt_id)
    behind = [
        field_error(("offsets", file), "not shipped this far", str(offset), f"at most {committed.get(file, 0)} yet")
        for file, offset in sorted(offsets.items())
        if committed.get(file, 0) < offset
    ]
    if behind:
        first = behind[0]
        raise LeptonError(
            ErrorCode.FAILED_PRECONDITION, f"{first.field}: {first.value} is {first.message} ({first.allowed})", behind
        )


def find(conn: sa.Connection, checkpoint_id: str) -> sa.Row[Any] | None:
    return conn.execute(sa.select(CHECKPOINTS).where(CHECKPOINTS.c.id == checkpoint_id)).first()


def last_of_run(conn: sa.Connection, run_id: str) -> sa.Row[Any] | None:
    return conn.execute(
        sa.select(CHECKPOINTS).where(CHECKPOINTS.c.run_id == run_id).order_by(*NEWEST_FIRST).limit(1)
    ).first()


def list_of_run(conn: sa.Connection, project: str, run_id: str) -> list[sa.Row[Any]]:
    mine = sa.and_(CHECKPOINTS.c.project == project, CHECKPOINTS.c.run_id == run_id)
    return list(conn.execute(sa.select(CHECKPOINTS).where(mine).order_by(CHECKPOINTS.c.created_at_us)))
