"""Deletes old events. A reader that is further behind continues with the oldest event that is left."""

import sqlalchemy as sa

from lepton_registry.database import leadership
from lepton_registry.database.engine import Database, now_us
from lepton_registry.database.leadership import Leadership
from lepton_registry.events.store import CURSORS, EVENTS
from lepton_registry.settings import RetentionSettings

DAY_US = 24 * 3600 * 1_000_000
BATCH = 2_000


def drop_old(conn: sa.Connection, term: int, before_us: int, cut_off_us: int = 0, limit: int = BATCH) -> int:
    """Deletes events; returns their number.

    Events before `before_us` are deleted if they are delivered to every sink of the relay; events before `cut_off_us`
    in any case, so that a sink that never returns does not keep them for ever.
    """
    leadership.check(conn, term)
    delivered = conn.scalar(sa.select(sa.func.min(CURSORS.c.position))) or 0
    had = sa.and_(EVENTS.c.position <= delivered, EVENTS.c.at_us < before_us)
    old = (
        sa.select(EVENTS.c.sequence)
        .where(EVENTS.c.position.is_not(None), sa.or_(had, EVENTS.c.at_us < cut_off_us))
        .order_by(EVENTS.c.position)
        .limit(limit)
    )
    return conn.execute(sa.delete(EVENTS).where(EVENTS.c.sequence.in_(old))).rowcount


class EventRetention:
    def __init__(self, database: Database, leadership: Leadership, retention: RetentionSettings) -> None:
        self._database = database
        self._leadership = leadership
        self._retention = retention

    async def work(self) -> str:
        """One round, for `periodic.leader_task`."""
        dropped = 0
        while (term := self._leadership.term) is not None and (count := await self._drop(term)):
            dropped += count
        return f"dropped {dropped} old events" if dropped else ""

    async def _drop(self, term: int) -> int:
        now = now_us()
        before = now - self._retention.event_days * DAY_US
        cut_off = now - self._retention.event_cut_off_days * DAY_US
        return await self._database.write(lambda conn: drop_old(conn, term, before, cut_off))
