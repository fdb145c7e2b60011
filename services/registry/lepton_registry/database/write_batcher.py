"""Batches writes: those that arrive during a commit share the next transaction and its statements.

What it has in common with the gateway's `CallBatcher` is a list of futures; the choice of a batch and what follows an
error are different.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import sqlalchemy as sa

from lepton_core.errors import LeptonError
from lepton_registry.database.engine import Database

Item = TypeVar("Item")
Result = TypeVar("Result")
Waiting = tuple[Item, asyncio.Future[Result]]

# Limits the duration of a commit, and so the wait of the next batch.
MAX_TOGETHER = 128


class WriteBatcher(Generic[Item, Result]):
    """`work` gets all waiting items, and returns a result or an error for each. One transaction at a time."""

    def __init__(
        self, database: Database, work: Callable[[sa.Connection, Sequence[Item]], Sequence[Result | LeptonError]]
    ) -> None:
        self._database = database
        self._work = work
        self._waiting: list[Waiting[Item, Result]] = []
        self._writing: asyncio.Task[None] | None = None

    async def write(self, item: Item) -> Result:
        """Returns after the commit."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        # One task at a time: requests that arrive during its commit are in the next batch.
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())
        return await future

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                taken, self._waiting = self._waiting[:MAX_TOGETHER], self._waiting[MAX_TOGETHER:]
                await self._write_together(taken)
        finally:
            self._writing = None

    async def _write_together(self, taken: Sequence[Waiting[Item, Result]]) -> None:
        items = [item for item, _ in taken]
        try:
            results = await self._database.write(lambda conn: self._work(conn, items))
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            if len(taken) == 1:
                _settle(taken[0][1], error)
                return
            # One of the items may be at fault: each is tried in a transaction of its own.
            for each in taken:
                await self._write_together([each])
        else:
            for (_, future), result in zip(taken, results, strict=True):
                _settle(future, result)


def _settle(future: asyncio.Future[Result], result: Result | Exception) -> None:
    if future.done():
        return  # its caller was cancelled
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
