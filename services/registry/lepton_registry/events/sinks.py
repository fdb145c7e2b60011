"""The relay's sinks: wake-up calls for workers, and the event stream for other programs."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import redis.asyncio as redis
import sqlalchemy as sa

from lepton_core.queue import EVENT_STREAM
from lepton_core.validation import stored_document

MAX_STREAM_LENGTH = 100_000
SOURCE = "/lepton/registry"
QUEUED = "dev.lepton.run.queued.v1"
REST_SECONDS = 0.2
# One answer for all entries: reading one for each would cost the registry more than writing them.
_ADD_ALL = """
for at = 2, #ARGV, 2 do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'position', ARGV[at], 'event', ARGV[at + 1])
end
"""


class WakeupSink:
    """Puts at most one wake-up into the queue. It means "there is work"; the worker that takes it claims a run.

    A worker is woken at once, and then not again for REST_SECONDS: many events at once need only one wake-up.
    """

    name = "hints"  # of its position in the database, from the first release

    def __init__(self, wake: Callable[[], Awaitable[None]]) -> None:
        self._wake = wake
        self._resting: asyncio.Task[None] | None = None
        self._owed = False

    async def deliver(self, events: Sequence[sa.Row[Any]]) -> None:
        if not any(event.type == QUEUED for event in events):
            return
        if self._resting is not None and not self._resting.done():
            self._owed = True
            return
        await self._wake()
        self._resting = asyncio.create_task(self._rest())

    async def _rest(self) -> None:
        await asyncio.sleep(REST_SECONDS)
        while self._owed:
            self._owed = False
            # The sweeper wakes workers too, as long as a run waits.
            with contextlib.suppress(Exception):
                await self._wake()
            await asyncio.sleep(REST_SECONDS)


class Stream:
    """The Redis stream `lepton:events`: CloudEvents 1.0 in JSON, capped; readers that fell behind read by position."""

    name = "stream"

    def __init__(self, client: redis.Redis) -> None:
        self._add_all = client.register_script(_ADD_ALL)

    async def deliver(self, events: Sequence[sa.Row[Any]]) -> None:
        entries = [part for event in events for part in (event.position, cloud_event(event))]
        await self._add_all(keys=[EVENT_STREAM], args=[MAX_STREAM_LENGTH, *entries])


def cloud_event(row: sa.Row[Any]) -> str:
    """https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md"""
    event = {
        "specversion": "1.0",
        "id": row.id,
        "source": SOURCE,
        "type": row.type,
        "subject": row.subject,
        "time": datetime.fromtimestamp(row.at_us / 1_000_000, UTC).isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "leptonproject": row.project,
        "leptonposition": str(row.position),
        "data": stored_document(row.data_json),
    }
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False)
