"""The committed offset of each journal of an attempt. Metrics advance it, and commits of checkpoints wait for it."""

import sqlalchemy as sa

from lepton_registry.database.engine import table
from lepton_registry.runs.tables import JournalOffsetRow

OFFSETS = table(JournalOffsetRow)


def committed_offsets(conn: sa.Connection, attempt_id: str) -> dict[str, int]:
    statement = sa.select(OFFSETS.c.file, OFFSETS.c.offset).where(OFFSETS.c.attempt_id == attempt_id)
    return {row.file: row.offset for row in conn.execute(statement)}


def move_offset(conn: sa.Connection, attempt_id: str, file: str, offset: int) -> None:
    mine = sa.and_(OFFSETS.c.attempt_id == attempt_id, OFFSETS.c.file == file)
    if conn.execute(sa.update(OFFSETS).where(mine).values(offset=offset)).rowcount == 0:
        conn.execute(sa.insert(OFFSETS), {"attempt_id": attempt_id, "file": file, "offset": offset})
