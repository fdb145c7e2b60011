"""Wakes those who watch: one reader of events for a process, however many streams are open."""

import asyncio
import contextlib
from collections.abc import Iterator

from lepton_registry.database import Database
from lepton_registry.events import store

# Another process may have numbered events: then no commit of ours tells.
POLL_SECONDS = 0.5


class Watch:
    """`wait` returns once something happened since the last call, or after the timeout."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        self._event.set()

    async def wait(self, timeout_seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._event.wait(), timeout_seconds)
        self._event.clear()


class Feed:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._watches: dict[str, set[Watch]] = {}

    @contextlib.contextmanager
    def watch(self, key: str) -> Iterator[Watch]:
        """`key` is a subject (an id), a project's id, or empty for everything."""
        watch = Watch()
        self._watches.setdefault(key, set()).add(watch)
        try:
            yield watch
        finally:
            watches = self._watches[key]
            watches.discard(watch)
            if not watches:
                del self._watches[key]

    async def run(self) -> None:
        position = await self._database.read(lambda conn: store.position(conn, store.NUMBERED))
        seen = -1
        while True:
            seen = await self._database.commits.wait(seen, POLL_SECONDS)
            if not self._watches:
                position = await self._database.read(lambda conn: store.position(conn, store.NUMBERED))
                continue
            position = await self._wake_after(position)
            # A burst of commits is read as one.
            await asyncio.sleep(0.005)

    async def _wake_after(self, position: int) -> int:
        rows = await self._database.read(lambda conn: store.after(conn, position))
        for row in rows:
            for key in (row.subject, row.project, ""):
                for watch in self._watches.get(key, ()):
                    watch.wake()
        return int(rows[-1].position) if rows else position
