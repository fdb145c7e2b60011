"""The relay: numbers committed events and carries them on, each reader with a cursor of its own."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any, Protocol

import sqlalchemy as sa

from lepton_core.errors import LeptonError
from lepton_registry.database import CommitSignal, Database
from lepton_registry.events import leader, store
from lepton_registry.events.leader import Leadership, NotLeader

log = logging.getLogger(__name__)
POLL_SECONDS = 1.0
# The first event of a burst goes at once, the others in a few transactions instead of one for each commit.
GATHER_SECONDS = 0.05
MAX_BACKOFF_SECONDS = 15.0


class Sink(Protocol):
    """Where events go. `deliver` may be called again with the same ones."""

    name: str

    async def deliver(self, events: Sequence[sa.Row[Any]]) -> None: ...


class Relay:
    def __init__(self, database: Database, leadership: Leadership, sinks: Sequence[Sink]) -> None:
        self._database = database
        self._leadership = leadership
        self._sinks = sinks
        self._numbered = CommitSignal()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._number())
            for sink in self._sinks:
                tasks.create_task(self._carry(sink))

    async def _number(self) -> None:
        seen = -1
        while True:
            seen = await self._database.commits.wait(seen, POLL_SECONDS)
            term = self._leadership.term
            if term is None:
                continue
            try:
                if await self._database.read(store.has_unnumbered):
                    given = await self._database.write(lambda conn, term=term: store.number(conn, term))  # type: ignore[misc]
                    if given:
                        self._numbered.notify()
            except NotLeader as error:
                self._leadership.lost(error)
            except LeptonError as error:
                log.warning("events wait for their numbers: %s", error.detail)
                await asyncio.sleep(POLL_SECONDS)
            await asyncio.sleep(GATHER_SECONDS)

    async def _carry(self, sink: Sink) -> None:
        """One sink that is away holds up no other."""
        seen, backoff = -1, POLL_SECONDS
        term: int | None = None
        reached = 0
        while True:
            seen = await self._numbered.wait(seen, POLL_SECONDS)
            try:
                if (leading := self._leadership.term) != term:
                    # While the term lasts nobody else moves the cursor.
                    reached = await self._database.read(lambda conn: store.position(conn, sink.name))
                    term = leading
                while term is not None and (events := await self._next(reached)):
                    await sink.deliver(events)
                    reached = await self._moved(sink, term, events[-1].position)
                    if len(events) < store.MAX_BATCH:
                        break
                backoff = POLL_SECONDS
            except NotLeader as error:
                self._leadership.lost(error)
            except Exception as error:  # noqa: BLE001 - whatever a broker's client raises: wait, and try again
                log.warning("events for %s wait: %s", sink.name, error)
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)

    async def _next(self, reached: int) -> Sequence[sa.Row[Any]]:
        return await self._database.read(lambda conn: store.after(conn, reached))

    async def _moved(self, sink: Sink, term: int, to: int) -> int:
        def move(conn: sa.Connection) -> int:
            leader.check(conn, term)
            store.move_cursor(conn, sink.name, to)
            return to

        return await self._database.write(move)
