"""Metric series: stores the points of journal records, and reads them."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from lepton_core.api.limits import MAX_METRIC_NAMES
from lepton_core.errors import ErrorCode, LeptonError
from lepton_registry.database.engine import change_row, insert_new_rows, table
from lepton_registry.metrics.records import Point
from lepton_registry.metrics.tables import MetricHeadRow, MetricNameRow, MetricPointRow
from lepton_registry.runs import attempts, journals
from lepton_registry.runs.states import ENDED
from lepton_registry.runs.tables import AttemptRow, CheckpointRow, RunRow

POINTS = table(MetricPointRow)
HEADS = table(MetricHeadRow)
NAMES = table(MetricNameRow)
ATTEMPTS = table(AttemptRow)
CHECKPOINTS = table(CheckpointRow)
RUNS = table(RunRow)


class Appended(NamedTuple):
    """`dropped_names`: the metrics whose points were not stored, since the run has as many metrics as it may have."""

    committed_offset: int
    dropped_names: tuple[str, ...] = ()


def append(
    conn: sa.Connection, attempt_id: str, *, rank: int, file: str, offset: int, size: int, points: Sequence[Point]
) -> Appended:
    """Commits points; returns the journal's committed offset afterwards. Points that were committed before are skipped,
    and a chunk that leaves a gap is ignored."""
    committed = journals.committed_offsets(conn, attempt_id).get(file, 0)
    # A repeated chunk is answered without a lock, also after the end of the attempt.
    if offset + size <= committed:
        return Appended(committed)
    attempt = attempts.require_running(conn, attempt_id)
    # Read again under the attempt's lock: another request may have been faster.
    committed = journals.committed_offsets(conn, attempt_id).get(file, 0)
    if offset > committed or offset + size <= committed:
        return Appended(committed)
    new = [point for point in points if point.file_offset > committed]
    dropped: tuple[str, ...] = ()
    if new:
        # Locks the run, so that the ranks of a run together do not exceed the number of names.
        _move_head(conn, attempt.run_id, 0)
        dropped = _add_names(conn, attempt.run_id, dict.fromkeys(point.key for point in new))
        refused = frozenset(dropped)
        new = [point for point in new if point.key not in refused]
    if new:
        head = _move_head(conn, attempt.run_id, len(new))
        rows = [
            {
                "run_id": attempt.run_id,
                "position": position,
                "attempt_number": attempt.number,
                "rank": rank,
                "file_offset": point.file_offset,
                "key": point.key,
                "step": point.step,
                "value": point.value,
                "at_us": point.at_us,
            }
            for position, point in enumerate(new, head - len(new) + 1)
        ]
        conn.execute(sa.insert(POINTS), rows)
    journals.move_offset(conn, attempt_id, file, offset + size)
    return Appended(offset + size, dropped)


def _add_names(conn: sa.Connection, run_id: str, names: Iterable[str]) -> tuple[str, ...]:
    """Adds the new ones of `names` to those of the run, as far as there is room. Returns the rest."""
    known = set(conn.scalars(sa.select(NAMES.c.name).where(NAMES.c.run_id == run_id)))
    new = [name for name in names if name not in known]
    room = max(0, MAX_METRIC_NAMES - len(known))
    insert_new_rows(conn, NAMES, [{"run_id": run_id, "name": name} for name in new[:room]])
    return tuple(new[room:])


def _move_head(conn: sa.Connection, run_id: str, count: int) -> int:
    """Advances the last position of the run by `count` and returns it. The lock keeps positions in commit order."""
    change = {"position": HEADS.c.position + count}
    return int(change_row(conn, HEADS, {"run_id": run_id}, {"position": 0}, change).position)


def query(
    conn: sa.Connection, project: str, run_id: str, *, keys: Sequence[str], after: int, limit: int
) -> tuple[list[sa.Row[Any]], bool]:
    """Points after a position, in order of arrival, and whether there will be no more."""
    # The state is read first: when a run has ended, all its points are committed.
    state = conn.scalar(sa.select(RUNS.c.state).where(RUNS.c.project == project, RUNS.c.id == run_id))
    if state is None:
        raise LeptonError(ErrorCode.NOT_FOUND, f"there is no run {run_id!r}")
    statement = (
        sa.select(POINTS, ATTEMPTS.c.id.label("attempt_id"))
        .join(ATTEMPTS, sa.and_(ATTEMPTS.c.run_id == run_id, ATTEMPTS.c.number == POINTS.c.attempt_number))
        .where(POINTS.c.run_id == run_id, POINTS.c.position > after, _visible(conn, run_id))
        .order_by(POINTS.c.position)
        .limit(limit)
    )
    if keys:
        statement = statement.where(POINTS.c.key.in_(keys))
    rows = list(conn.execute(statement))
    return rows, state in ENDED and len(rows) < limit


def _visible(conn: sa.Connection, run_id: str) -> sa.ColumnElement[bool]:
    """The condition for points that count: all points of the last attempt, and those of the attempts that it resumed
    from, each up to the checkpoint. (After a checkpoint at step 400, a crash at 500 and a resume, the steps 401 to 500
    of the first attempt do not count.)"""
    by_id = {row.id: row for row in conn.execute(sa.select(ATTEMPTS).where(ATTEMPTS.c.run_id == run_id))}
    checkpoints = {row.id: row for row in conn.execute(sa.select(CHECKPOINTS).where(CHECKPOINTS.c.run_id == run_id))}
    if not by_id:
        return sa.false()
    attempt = max(by_id.values(), key=lambda row: row.number)
    seen = [POINTS.c.attempt_number == attempt.number]
    while (cut := checkpoints.get(attempt.resumed_from)) is not None:
        attempt = by_id[cut.attempt_id]
        seen.append(sa.and_(POINTS.c.attempt_number == attempt.number, _before(cut)))
    return sa.or_(*seen)


def _before(cut: sa.Row[Any]) -> sa.ColumnElement[bool]:
    """Journals whose offset is in the checkpoint are cut there; others are cut at the checkpoint's step."""
    offsets = {_rank_of(file): offset for file, offset in json.loads(cut.offsets_json).items()}
    named = [sa.and_(POINTS.c.rank == rank, POINTS.c.file_offset <= offset) for rank, offset in offsets.items()]
    unnamed = sa.and_(POINTS.c.rank.not_in(list(offsets)), POINTS.c.step <= cut.step)
    return sa.or_(*named, unnamed)


def _rank_of(file: str) -> int:
    return int(file.removeprefix("metrics-rank").removesuffix(".jsonl"))
