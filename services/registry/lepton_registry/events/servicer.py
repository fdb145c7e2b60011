"""gRPC of events."""

from collections.abc import AsyncIterator
from typing import Any

import grpc

from lepton_core.errors import invalid
from lepton_proto.v1 import events_pb2 as pb
from lepton_proto.v1 import events_pb2_grpc as rpc
from lepton_registry.authentication import caller
from lepton_registry.database.engine import Database
from lepton_registry.events import store
from lepton_registry.events.feed import Feed
from lepton_registry.paging import page_limit
from lepton_registry.rows import to_message

Context = grpc.aio.ServicerContext[Any, Any]
MAX_EVENTS, DEFAULT_EVENTS = 1_000, 100
# In case a wake-up was missed.
LOOK_SECONDS = 5.0


class EventServicer(rpc.EventServiceServicer):
    def __init__(self, database: Database, feed: Feed) -> None:
        self._database = database
        self._feed = feed

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        limit = page_limit(request.limit, MAX_EVENTS, DEFAULT_EVENTS)
        events = await self._read(caller().project, request.after, request.subject, limit)
        return pb.ListEventsResponse(events=events, last_position=events[-1].position if events else request.after)

    async def WatchEvents(
        self, request: pb.WatchEventsRequest, context: Context
    ) -> AsyncIterator[pb.WatchEventsResponse]:
        project, after = caller().project, request.after
        with self._feed.watch(request.subject or project) as watch:
            while True:
                events = await self._read(project, after, request.subject, MAX_EVENTS)
                if events:
                    after = events[-1].position
                    yield pb.WatchEventsResponse(events=events)
                if len(events) < MAX_EVENTS:
                    await watch.wait(LOOK_SECONDS)

    async def _read(self, project: str, after: int, subject: str, limit: int) -> list[pb.Event]:
        if after < 0:
            raise invalid("after", "negative", after, "0, or the position of an event")
        rows = await self._database.read(
            lambda conn: store.list_events(conn, project, after=after, subject=subject, limit=limit)
        )
        return [to_message(row, pb.Event) for row in rows]
