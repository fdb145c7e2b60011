"""The index of log chunks, with a size limit for each run."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError
from lepton_registry.database.engine import change_row, now_us, table
from lepton_registry.logs.tables import LogChunkRow, LogHeadRow, LogOffsetRow
from lepton_registry.runs import attempts
from lepton_registry.runs.states import ENDED
from lepton_registry.runs.tables import RunRow

CHUNKS = table(LogChunkRow)
HEADS = table(LogHeadRow)
OFFSETS = table(LogOffsetRow)
RUNS = table(RunRow)


@dataclass(frozen=True, slots=True)
class Room:
    """The committed offset of an attempt's stream, and the number of bytes that its run may still keep."""

    run_id: str
    committed: int
    left: int
    full: bool


def room(conn: sa.Connection, attempt_id: str, stream: str, max_bytes: int) -> Room:
    """Read before the bytes are written to the store, and again in the transaction that commits them."""
    attempt = attempts.find(conn, attempt_id)
    if attempt is None:
        raise attempts.stale(attempt_id, "unknown")
    committed = conn.scalar(
        sa.select(OFFSETS.c.offset).where(OFFSETS.c.attempt_id == attempt_id, OFFSETS.c.stream == stream)
    )
    head = conn.execute(sa.select(HEADS).where(HEADS.c.run_id == attempt.run_id)).first()
    kept, full = (head.bytes, head.full) if head else (0, False)
    return Room(attempt.run_id, committed or 0, max(0, max_bytes - kept), full)


@dataclass(frozen=True, slots=True)
class Chunk:
    """`taken` bytes of the stream from `offset` on; the object holds `size` bytes (a last one also a notice)."""

    attempt_id: str
    stream: str
    offset: int
    taken: int
    size: int
    object_key: str
    full: bool


def append(conn: sa.Connection, chunk: Chunk) -> int:
    """Commits a chunk if it begins at the stream's committed offset. Returns the offset afterwards."""
    attempt = attempts.require_running(conn, chunk.attempt_id)
    mine = sa.and_(OFFSETS.c.attempt_id == chunk.attempt_id, OFFSETS.c.stream == chunk.stream)
    committed = conn.scalar(sa.select(OFFSETS.c.offset).where(mine)) or 0
    if chunk.offset != committed:
        return int(committed)
    after = chunk.offset + chunk.taken
    if conn.execute(sa.update(OFFSETS).where(mine).values(offset=after)).rowcount == 0:
        conn.execute(sa.insert(OFFSETS), {"attempt_id": chunk.attempt_id, "stream": chunk.stream, "offset": after})
    if chunk.object_key:
        values = {
            "run_id": attempt.run_id,
            "position": _move_head(conn, attempt.run_id, chunk.size, full=chunk.full),
            "attempt_id": chunk.attempt_id,
            "stream": chunk.stream,
            "offset": chunk.offset,
            "bytes": chunk.size,
            "object_key": chunk.object_key,
            "at_us": now_us(),
        }
        conn.execute(sa.insert(CHUNKS), values)
    return after


def _move_head(conn: sa.Connection, run_id: str, size: int, *, full: bool) -> int:
    """The next position of the run; positions are in commit order."""
    start = {"position": 0, "bytes": 0, "full": False}
    change = {
        "position": HEADS.c.position + 1,
        "bytes": HEADS.c.bytes + size,
        "full": sa.or_(HEADS.c.full, sa.literal(full)),
    }
    return int(change_row(conn, HEADS, {"run_id": run_id}, start, change).position)


def read(
    conn: sa.Connection, project: str, run_id: str, *, stream: str, after: int, limit: int
) -> tuple[list[sa.Row[Any]], bool]:
    """Chunks after a position, in order of arrival, and whether there will be no more."""
    state = conn.scalar(sa.select(RUNS.c.state).where(RUNS.c.project == project, RUNS.c.id == run_id))
    if state is None:
        raise LeptonError(ErrorCode.NOT_FOUND, f"there is no run {run_id!r}")
    statement = sa.select(CHUNKS).where(CHUNKS.c.run_id == run_id, CHUNKS.c.position > after)
    if stream:
        statement = statement.where(CHUNKS.c.stream == stream)
    rows = list(conn.execute(statement.order_by(CHUNKS.c.position).limit(limit)))
    return rows, state in ENDED and len(rows) < limit
