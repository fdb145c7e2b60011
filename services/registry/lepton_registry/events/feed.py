"""Wakes watchers of events: one reader of events for all open streams of a process."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator

from lepton_registry.database.engine import Database
from lepton_registry.events import store

# Events that another process has numbered cause no commit here, so they are found by polling.
POLL_SECONDS = 0.5
GATHER_SECONDS = 0.01


class Watch:
    """`wait` returns true when something has happened since the last call, or false after the timeout."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        self._event.set()

    async def wait(self, timeout_seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._event.wait()
        happened = self._event.is_set()
        self._event.clear()
        return happened


class Feed:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._watches: dict[str, set[Watch]] = {}
        self._watched = asyncio.Event()

    @contextlib.contextmanager
    def watch(self, key: str) -> Iterator[Watch]:
        """`key` is a subject (an id), a project's id, or empty for everything."""
        watch = Watch()
        self._watches.setdefault(key, set()).add(watch)
        self._watched.set()
        try:
            yield watch
        finally:
            watches = self._watches[key]
            watches.discard(watch)
            if not watches:
                del self._watches[key]
            if not self._watches:
                self._watched.clear()

    async def run(self) -> None:
        seen = -1
        while True:
            await self._watched.wait()
            position = await self._database.read(lambda conn: store.position(conn, store.NUMBERED))
            # Otherwise events numbered before the first read would be missed.
            self._wake(self._watches)
            while self._watched.is_set():
                seen = await self._database.commits.wait(seen, POLL_SECONDS)
                position = await self._wake_after(position)
                # Many commits at once are read together.
                await asyncio.sleep(GATHER_SECONDS)

    async def _wake_after(self, position: int) -> int:
        rows = await self._database.read(lambda conn: store.after(conn, position))
        self._wake({key for row in rows for key in (row.subject, row.project, "")})
        return int(rows[-1].position) if rows else position

    def _wake(self, keys: Iterable[str]) -> None:
        for key in keys:
            for watch in self._watches.get(key, ()):
                watch.wake()
