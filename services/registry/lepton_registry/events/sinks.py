"""Where the relay carries events: wake-up calls for workers, and the stream for everybody else."""

import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import redis.asyncio as redis
import sqlalchemy as sa

from lepton_core.queue import EVENT_STREAM

MAX_STREAM_LENGTH = 100_000
SOURCE = "/lepton/registry"
QUEUED = "dev.lepton.run.queued.v1"


class Hinter:
    """At most one hint lies in the queue: it says "there is work", and a worker that comes asks for itself."""

    name = "hints"

    def __init__(self, wake: Callable[[], Awaitable[None]]) -> None:
        self._wake = wake

    async def deliver(self, events: Sequence[sa.Row[Any]]) -> None:
        if any(event.type == QUEUED for event in events):
            await self._wake()


class Stream:
    """The Redis stream `lepton:events`: CloudEvents 1.0 in JSON, capped; readers that fell behind read by position."""

    name = "stream"

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    async def deliver(self, events: Sequence[sa.Row[Any]]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for event in events:
            fields: dict[Any, Any] = {"position": event.position, "event": cloud_event(event)}
            pipeline.xadd(EVENT_STREAM, fields, maxlen=MAX_STREAM_LENGTH, approximate=True)
        await pipeline.execute()


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
        "data": json.loads(row.data_json),
    }
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False)
