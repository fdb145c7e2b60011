"""Reading events, and numbering those that are committed."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from lepton_registry.database import insert_new, table
from lepton_registry.events import leader
from lepton_registry.events.tables import CursorRow, EventRow

EVENTS = table(EventRow)
CURSORS = table(CursorRow)
NUMBERED = "numbered"
MAX_BATCH = 1_000
_READABLE = EVENTS.c.position.is_not(None)


def has_unnumbered(conn: sa.Connection) -> bool:
    return conn.execute(sa.select(EVENTS.c.sequence).where(EVENTS.c.position.is_(None)).limit(1)).first() is not None


def number(conn: sa.Connection, term: int) -> int:
    """Give positions to events that are committed; how many.

    Only the leader does, one transaction after the other, so a position that somebody has read is never followed by
    a smaller one.
    """
    leader.check(conn, term)
    statement = sa.select(EVENTS.c.sequence).where(EVENTS.c.position.is_(None)).order_by(EVENTS.c.sequence)
    found = list(conn.scalars(statement.limit(MAX_BATCH)))
    if not found:
        return 0
    last = position(conn, NUMBERED)
    conn.execute(
        sa.update(EVENTS).where(EVENTS.c.sequence == sa.bindparam("given_to")).values(position=sa.bindparam("given")),
        [{"given_to": sequence, "given": at} for at, sequence in enumerate(found, last + 1)],
    )
    move_cursor(conn, NUMBERED, last + len(found))
    return len(found)


def position(conn: sa.Connection, cursor: str) -> int:
    return int(conn.scalar(sa.select(CURSORS.c.position).where(CURSORS.c.name == cursor)) or 0)


def move_cursor(conn: sa.Connection, cursor: str, to: int) -> None:
    if conn.execute(sa.update(CURSORS).where(CURSORS.c.name == cursor).values(position=to)).rowcount == 0:
        insert_new(conn, CURSORS, {"name": cursor, "position": to})


def after(conn: sa.Connection, position: int, limit: int = MAX_BATCH) -> Sequence[sa.Row[Any]]:
    """Of all projects: for the registry's own readers."""
    statement = sa.select(EVENTS).where(_READABLE, EVENTS.c.position > position)
    return conn.execute(statement.order_by(EVENTS.c.position).limit(limit)).all()


def list_events(conn: sa.Connection, project: str, *, after: int, subject: str, limit: int) -> Sequence[sa.Row[Any]]:
    statement = sa.select(EVENTS).where(_READABLE, EVENTS.c.project == project, EVENTS.c.position > after)
    if subject:
        statement = statement.where(EVENTS.c.subject == subject)
    return conn.execute(statement.order_by(EVENTS.c.position).limit(limit)).all()
