"""The relay: numbers committed events and delivers them to sinks, each with its own cursor."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Protocol

import sqlalchemy as sa

from lepton_core.backoff import Backoff
from lepton_core.cancellation import raise_if_cancelled
from lepton_core.errors import LeptonError
from lepton_registry.database.engine import CommitSignal, Database
from lepton_registry.database.leadership import Leadership, NotLeader
from lepton_registry.events import store

log = logging.getLogger(__name__)
POLL_SECONDS = 1.0
# The first of many events is numbered at once, the others in a few transactions instead of one for each commit.
GATHER_SECONDS = 0.05
BACKOFF = Backoff(POLL_SECONDS, 15.0)


class Sink(Protocol):
    """A destination of events. `deliver` may be called again with the same events."""

    name: str

    async def deliver(self, events: Sequence[sa.Row[Any]]) -> None: ...


class Relay:
    """Numbers committed events, and saves the cursors of the sinks in the same transactions.

    After a crash, a sink gets the events since its saved cursor again.
    """

    def __init__(self, database: Database, leadership: Leadership, sinks: Sequence[Sink]) -> None:
        self._database = database
        self._leadership = leadership
        self._sinks = sinks
        self._numbered = CommitSignal()
        # The events that were numbered last: sinks that are up to date need not read them from the database.
        self._latest: Sequence[sa.Row[Any]] = ()
        # Sink → (term, position) up to which events are delivered, but not saved in the database yet.
        self._delivered: dict[str, tuple[int, int]] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._number())
            for sink in self._sinks:
                tasks.create_task(self._deliver(sink))

    async def _number(self) -> None:
        seen = -1
        while True:
            seen = await self._database.commits.wait(seen, POLL_SECONDS)
            term = self._leadership.term
            if term is None:
                continue
            try:
                await self._beat(term)
            except NotLeader as error:
                self._leadership.lost(error)
            except LeptonError as error:
                log.warning("events wait for their numbers: %s", error.detail)
                await asyncio.sleep(POLL_SECONDS)
            await asyncio.sleep(GATHER_SECONDS)

    async def _beat(self, term: int) -> None:
        delivered, self._delivered = self._delivered, {}
        # Positions of an earlier term are not saved: another leader may have moved the cursors since then.
        moves = {name: reached for name, (delivered_in, reached) in delivered.items() if delivered_in == term}
        if not moves and not await self._database.read(store.has_unnumbered):
            return
        try:
            rows = await self._database.write(lambda conn: store.number(conn, term, moves))
        except LeptonError:
            # Not saved: the positions are saved in the next beat; newer ones of a sink take precedence.
            self._delivered = delivered | self._delivered
            raise
        if rows:
            self._latest = rows
            self._numbered.notify()

    async def _deliver(self, sink: Sink) -> None:
        """Delivers to one sink. Each has its own task, so an unavailable sink delays no other."""
        seen, failures = -1, 0
        term: int | None = None
        reached = 0
        while True:
            raise_if_cancelled()
            seen = await self._numbered.wait(seen, POLL_SECONDS)
            try:
                if (leading := self._leadership.term) != term:
                    # During the term nobody else moves the cursor, so it is read only once.
                    reached = await self._database.read(lambda conn: store.position(conn, sink.name))
                    term = leading
                while term is not None and (events := await self._after(reached)):
                    if 0 < reached < (missed := events[0].position - 1):
                        log.warning("%d events were deleted before %s had them", missed - reached, sink.name)
                    await sink.deliver(events)
                    reached = events[-1].position
                    self._delivered[sink.name] = (term, reached)
                    if len(events) < store.MAX_BATCH:
                        break
                failures = 0
            except Exception as error:  # noqa: BLE001 - any error of a broker's client: wait, and try again
                log.warning("events for %s wait: %s", sink.name, error)
                failures += 1
                await asyncio.sleep(BACKOFF.pause(failures))

    async def _after(self, reached: int) -> Sequence[sa.Row[Any]]:
        latest = self._latest
        if latest and latest[0].position == reached + 1:
            return latest
        return await self._database.read(lambda conn: store.after(conn, reached))
