"""Reading events, and numbering those that are committed."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from lepton_registry.database import leadership
from lepton_registry.database.engine import insert_new, table
from lepton_registry.events.tables import CursorRow, EventRow

EVENTS = table(EventRow)
CURSORS = table(CursorRow)
NUMBERED = "numbered"
MAX_BATCH = 1_000
_READABLE = EVENTS.c.position.is_not(None)
_UNNUMBERED = EVENTS.c.position.is_(None)
# The relay runs this often: built once, since building a statement costs more than running it.
_ANY_UNNUMBERED = sa.select(EVENTS.c.sequence).where(_UNNUMBERED).limit(1)
_FOUND = (
    sa.select(
        EVENTS.c.sequence,
        (sa.func.row_number().over(order_by=EVENTS.c.sequence) + sa.bindparam("last", type_=sa.BigInteger)).label("at"),
    )
    .where(_UNNUMBERED)
    .order_by(EVENTS.c.sequence)
    .limit(MAX_BATCH)
    .subquery("found")
)
_NUMBER = (
    sa.update(EVENTS).where(EVENTS.c.sequence == _FOUND.c.sequence).values(position=_FOUND.c.at).returning(*EVENTS.c)
)
_POSITION = sa.select(CURSORS.c.position).where(CURSORS.c.name == sa.bindparam("cursor"))
_MOVE = sa.update(CURSORS).where(CURSORS.c.name == sa.bindparam("cursor")).values(position=sa.bindparam("to"))
_AFTER = (
    sa.select(EVENTS)
    .where(_READABLE, EVENTS.c.position > sa.bindparam("after"))
    .order_by(EVENTS.c.position)
    .limit(sa.bindparam("most"))
)


def has_unnumbered(conn: sa.Connection) -> bool:
    return conn.execute(_ANY_UNNUMBERED).first() is not None


def number(conn: sa.Connection, term: int, delivered: Mapping[str, int] | None = None) -> Sequence[sa.Row[Any]]:
    """Gives positions to committed events and returns them; `delivered` moves the cursors of sinks.

    Only the leader does this, one transaction after the other, so no position appears after a higher one was read.
    """
    leadership.check(conn, term)
    # In the same transaction as the check of the term, so that a replaced leader cannot move a cursor back.
    for cursor, reached in (delivered or {}).items():
        move_cursor(conn, cursor, reached)
    rows = conn.execute(_NUMBER, {"last": position(conn, NUMBERED)}).all()
    if rows:
        rows = sorted(rows, key=lambda row: int(row.position))
        move_cursor(conn, NUMBERED, rows[-1].position)
    return rows


def position(conn: sa.Connection, cursor: str) -> int:
    return int(conn.scalar(_POSITION, {"cursor": cursor}) or 0)


def move_cursor(conn: sa.Connection, cursor: str, to: int) -> None:
    if conn.execute(_MOVE, {"cursor": cursor, "to": to}).rowcount == 0:
        insert_new(conn, CURSORS, {"name": cursor, "position": to})


def after(conn: sa.Connection, position: int, limit: int = MAX_BATCH) -> Sequence[sa.Row[Any]]:
    """Events of all projects, for the registry itself."""
    return conn.execute(_AFTER, {"after": position, "most": limit}).all()


def list_events(conn: sa.Connection, project: str, *, after: int, subject: str, limit: int) -> Sequence[sa.Row[Any]]:
    statement = sa.select(EVENTS).where(_READABLE, EVENTS.c.project == project, EVENTS.c.position > after)
    if subject:
        statement = statement.where(EVENTS.c.subject == subject)
    return conn.execute(statement.order_by(EVENTS.c.position).limit(limit)).all()
