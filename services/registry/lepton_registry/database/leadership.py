"""Elects one leader among the registry's processes, by a row with a term.

Every transaction of the leader checks its term (`check`), so a leader that was paused and replaced cannot write.
"""

import logging
import time
from typing import NamedTuple

import sqlalchemy as sa

from lepton_core.ids import new_ulid
from lepton_registry.database.engine import Database, Result, Work, insert_new, table
from lepton_registry.database.tables import LeaderRow

LEADERS = table(LeaderRow)
LOCK_NAME = "registry"
log = logging.getLogger(__name__)
_BEAT = (
    sa.update(LEADERS)
    .where(LEADERS.c.name == sa.bindparam("lock"), LEADERS.c.term == sa.bindparam("held"))
    .values(beat=LEADERS.c.beat + 1)
)


class NotLeader(Exception):
    """The term has ended: another process leads."""


def check(conn: sa.Connection, term: int) -> None:
    """Must be called first in every transaction of the leader. Locks the row and counts its beat up, which shows other
    processes that the leader is alive."""
    if conn.execute(_BEAT, {"lock": LOCK_NAME, "held": term}).rowcount != 1:
        raise NotLeader(f"term {term} is over")


class LeaderLock(NamedTuple):
    """The current leader; before the first one `holder` is empty and `term` is 0."""

    holder: str = ""
    term: int = 0
    beat: int = 0


def read_lock(conn: sa.Connection) -> LeaderLock:
    statement = sa.select(LEADERS.c.holder, LEADERS.c.term, LEADERS.c.beat).where(LEADERS.c.name == LOCK_NAME)
    row = conn.execute(statement).first()
    return LeaderLock(*row) if row else LeaderLock()


def take(conn: sa.Connection, holder: str, term: int, beat: int) -> int | None:
    """The new term; None if the leader of `term` has counted on since `beat`. Term 0: there was no leader yet."""
    if term == 0:
        row = {"name": LOCK_NAME, "holder": holder, "term": 1, "beat": 0}
        return 1 if insert_new(conn, LEADERS, row) else None
    # Compare-and-set: of several processes that have seen the same beat, one takes over. A leader that is only slow
    # keeps its term by any transaction before this one.
    taken = conn.execute(
        sa.update(LEADERS)
        .where(LEADERS.c.name == LOCK_NAME, LEADERS.c.term == term, LEADERS.c.beat == beat)
        .values(holder=holder, term=term + 1, beat=0)
    )
    return term + 1 if taken.rowcount == 1 else None


def resign(conn: sa.Connection, term: int) -> None:
    """Leaves the lock without a holder, so that the next process does not have to wait."""
    conn.execute(sa.update(LEADERS).where(LEADERS.c.name == LOCK_NAME, LEADERS.c.term == term).values(holder=""))


class Leadership:
    """Whether this process leads; `term` is None while it does not.

    Another process takes over when the leader's beat has not changed for `takeover_seconds` on its own monotonic clock:
    clocks of two machines are never compared. With `alone` (SQLite, whose file lock allows one process) it does not
    wait.
    """

    def __init__(self, database: Database, *, alone: bool, takeover_seconds: float = 5.0) -> None:
        self.term: int | None = None
        self._database = database
        self._holder = new_ulid()
        self._takeover_seconds = 0.0 if alone else takeover_seconds
        self._watched: tuple[int, int] | None = None
        self._since = 0.0

    async def try_to_lead(self) -> bool:
        """To be called regularly. Returns whether this process leads."""
        if self.term is not None:
            return True
        holder, term, beat = await self._database.read(read_lock)
        now = time.monotonic()
        # The beat is a counter: only how long it has not changed matters, measured by this process's clock.
        if self._watched != (term, beat):
            self._watched, self._since = (term, beat), now
        if holder and now - self._since < self._takeover_seconds:
            return False
        self.term = await self._database.write(lambda conn: take(conn, self._holder, term, beat))
        if self.term is not None:
            log.info("leading, term %d", self.term)
        return self.term is not None

    async def write(self, work: Work[Result]) -> Result:
        """A write that only the leader makes. Raises NotLeader after the end of its term.

        For long work: unlike `check`, it does not lock the leader's row. So a new leader may do the same work at the
        same time.
        """
        term = self.term
        if term is None:
            raise NotLeader("this process has no term")

        # Without a lock: a new leader may be elected between this check and the commit.
        def while_it_lasts(conn: sa.Connection) -> Result:
            if read_lock(conn).term != term:
                raise NotLeader(f"term {term} is over")
            return work(conn)

        return await self._database.write(while_it_lasts)

    def lost(self, error: NotLeader) -> None:
        log.warning("no longer leading: %s", error)
        self.term, self._watched = None, None

    async def resign(self) -> None:
        if self.term is not None:
            term, self.term = self.term, None
            await self._database.write(lambda conn: resign(conn, term))
