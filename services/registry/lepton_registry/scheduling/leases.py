"""The clock that leases run on.

It is a counter in the database. The leader adds the time that passed on its own monotonic clock, at most two seconds
a beat, so it stands still while the registry or the database is down: a suspend, a stepped clock or an outage expires
nothing.
"""

import sqlalchemy as sa

from lepton_registry.database.engine import insert_new, table
from lepton_registry.runs.tables import LeaseClockRow

CLOCK = table(LeaseClockRow)
MAX_BEAT_US = 2_000_000
_NAME = "leases"
_READ = sa.select(CLOCK.c.elapsed_us).where(CLOCK.c.name == _NAME)


def advance(conn: sa.Connection, passed_us: int) -> int:
    """For the leader: add what passed since its last beat; the new time."""
    step = max(0, min(passed_us, MAX_BEAT_US))
    statement = (
        sa.update(CLOCK)
        .where(CLOCK.c.name == _NAME)
        .values(elapsed_us=CLOCK.c.elapsed_us + step)
        .returning(CLOCK.c.elapsed_us)
    )
    elapsed = conn.scalar(statement)
    if elapsed is None:
        insert_new(conn, CLOCK, {"name": _NAME, "elapsed_us": 0})
        elapsed = conn.scalar(statement)
    return int(elapsed or 0)


def elapsed_us(conn: sa.Connection) -> int:
    return int(conn.scalar(_READ) or 0)
