"""Wake-up calls for workers, at most one in the queue."""

import asyncio

import redis.asyncio as redis
from celery import Celery

from lepton_core.queue import WAKE_TASK, WAKEUP_QUEUE


class Waker:
    def __init__(self, app: Celery, client: redis.Redis) -> None:
        self._app = app
        self._client = client
        # Relay and sweeper both send wake-ups: without the lock, both could find the queue empty and add one.
        self._one = asyncio.Lock()

    async def wake(self) -> None:
        """Publishes a wake-up unless there is one: without consumers, they would fill the queue server."""
        async with self._one:
            if await self._client.llen(WAKEUP_QUEUE) == 0:
                await asyncio.to_thread(self._app.send_task, WAKE_TASK, queue=WAKEUP_QUEUE, retry=False)
