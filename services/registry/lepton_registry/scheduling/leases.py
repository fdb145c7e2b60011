"""The lease clock.

It is a counter in the database. In each beat the leader adds the time that has passed on its own monotonic clock, at
most two seconds. So the clock stands still while the registry or the database is down, and no lease expires by an
outage, a suspended machine or a changed system clock.
"""

import sqlalchemy as sa

from lepton_registry.database.engine import change_row, table
from lepton_registry.runs.tables import LeaseClockRow

CLOCK = table(LeaseClockRow)
MAX_BEAT_US = 2_000_000
_NAME = "leases"
_READ = sa.select(CLOCK.c.elapsed_us).where(CLOCK.c.name == _NAME)


def advance(conn: sa.Connection, passed_us: int) -> int:
    """For the leader: adds the time since its last beat; returns the new time."""
    # A longer pause means that the registry, the database or the machine stood still; leases must not expire by that.
    step = max(0, min(passed_us, MAX_BEAT_US))
    change = {"elapsed_us": CLOCK.c.elapsed_us + step}
    return int(change_row(conn, CLOCK, {"name": _NAME}, {"elapsed_us": 0}, change).elapsed_us)


def elapsed_us(conn: sa.Connection) -> int:
    return int(conn.scalar(_READ) or 0)
