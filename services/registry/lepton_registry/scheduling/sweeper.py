"""The leader's beat: advances the lease clock, ends attempts whose lease has expired, wakes workers for queued runs."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import sqlalchemy as sa

from lepton_core.causes import EndCause
from lepton_core.errors import Cause, LeptonError
from lepton_registry.database import leadership
from lepton_registry.database.engine import Database, table
from lepton_registry.database.leadership import Leadership, NotLeader
from lepton_registry.runs import attempts
from lepton_registry.runs.states import AttemptState
from lepton_registry.runs.tables import AttemptRow
from lepton_registry.scheduling import leases, queue_query

log = logging.getLogger(__name__)
ATTEMPTS = table(AttemptRow)
MAX_LOST_A_BEAT = 200
LEASE_LOST = Cause(EndCause.LEASE_LOST, {}, "its lease expired: no heartbeat from the worker")
WORKER_RESTARTED = Cause(EndCause.WORKER_RESTARTED, {}, "the worker was restarted")


def sweep(conn: sa.Connection, term: int, passed_us: int) -> tuple[list[str], bool]:
    """One beat of the leader. Returns the attempts that were lost, and whether runs are waiting."""
    # First: a leader that was replaced must not advance the clock, or leases would run twice as fast.
    leadership.check(conn, term)
    now = leases.advance(conn, passed_us)
    over = ATTEMPTS.c.lease_ends_us < now
    expired = conn.execute(
        sa.select(ATTEMPTS)
        .where(ATTEMPTS.c.state == AttemptState.RUNNING, over)
        .order_by(ATTEMPTS.c.lease_ends_us)
        .limit(MAX_LOST_A_BEAT)
    ).all()
    # `over` is checked again in the update: a heartbeat may have renewed the lease since the query.
    lost = [attempt.id for attempt in expired if lose(conn, attempt, LEASE_LOST, over)]
    return lost, queue_query.any_waits(conn)


def lose(
    conn: sa.Connection, attempt: sa.Row[Any], cause: Cause, condition: sa.ColumnElement[bool] | None = None
) -> bool:
    """Returns False if a heartbeat or the attempt's end was committed before."""
    return attempts.end(conn, attempt, AttemptState.LOST, cause.message, cause=cause, condition=condition) is not None


def free_earlier_incarnations(conn: sa.Connection, worker_id: str, incarnation: int) -> None:
    """Ends the attempts of earlier incarnations: a worker kills their processes when it starts."""
    earlier = sa.select(ATTEMPTS).where(
        ATTEMPTS.c.worker_id == worker_id,
        ATTEMPTS.c.incarnation < incarnation,
        ATTEMPTS.c.state == AttemptState.RUNNING,
    )
    for attempt in conn.execute(earlier).all():
        lose(conn, attempt, WORKER_RESTARTED)


class Sweeper:
    def __init__(
        self,
        database: Database,
        leadership: Leadership,
        wake: Callable[[], Awaitable[None]],
        beat_seconds: float = 1.0,
    ) -> None:
        self._database = database
        self._leadership = leadership
        self._wake = wake
        self._beat_seconds = beat_seconds
        self._last_beat: tuple[int, float] | None = None

    async def run(self) -> None:
        while True:
            try:
                if await self._leadership.try_to_lead():
                    await self.beat()
            except NotLeader as error:
                self._leadership.lost(error)
            except LeptonError as error:
                log.warning("no sweep: %s", error.detail)
            except Exception:
                # Any error: without further beats, no lease would ever expire.
                log.exception("no sweep")
            await asyncio.sleep(self._beat_seconds)

    async def beat(self) -> None:
        term = self._leadership.term
        assert term is not None
        now = time.monotonic()
        # A new leader adds nothing in its first beat: it does not know for how long there was no leader.
        passed = now - self._last_beat[1] if self._last_beat and self._last_beat[0] == term else 0.0
        lost, waiting = await self._database.write(lambda conn: sweep(conn, term, int(passed * 1_000_000)))
        self._last_beat = (term, now)
        for attempt_id in lost:
            log.warning("attempt %s is lost: %s", attempt_id, LEASE_LOST.message)
        if waiting:
            await self._wake_worker()

    async def _wake_worker(self) -> None:
        try:
            await self._wake()
        except Exception as error:  # noqa: BLE001 - any error of the broker's client; workers also ask without a wake-up
            log.warning("no wake-up was sent: %s", error)
