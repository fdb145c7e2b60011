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
# A burst is numbered in a few transactions instead of one for each commit.
GATHER_SECONDS = 0.01
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
        while True:
            seen = await self._numbered.wait(seen, POLL_SECONDS)
            try:
                while self._leadership.term is not None and await self._carry_batch(sink, self._leadership.term):
                    pass
                backoff = POLL_SECONDS
            except NotLeader as error:
                self._leadership.lost(error)
            except Exception as error:  # noqa: BLE001 - whatever a broker's client raises: wait, and try again
                log.warning("events for %s wait: %s", sink.name, error)
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)

    async def _carry_batch(self, sink: Sink, term: int) -> bool:
        reached = await self._database.read(lambda conn: store.position(conn, sink.name))
        events = await self._database.read(lambda conn: store.after(conn, reached))
        if not events:
            return False
        await sink.deliver(events)

        def moved(conn: sa.Connection) -> None:
            leader.check(conn, term)
            store.move_cursor(conn, sink.name, events[-1].position)

        await self._database.write(moved)
        return True
