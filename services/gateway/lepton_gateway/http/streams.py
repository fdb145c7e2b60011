"""Live streams as server-sent events. Every message's id is a cursor: a client that comes back with
`Last-Event-ID` goes on where it was (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import asyncio
import codecs
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from lepton_core.api import LogChunk, MetricPoint
from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_gateway.registry import Registry
from lepton_gateway.registry.runs import Tail

# A comment this often keeps proxies from closing an idle stream.
KEEP_ALIVE_SECONDS = 15.0
POLL_SECONDS = 0.3
POINTS_A_POLL = 2000
CHUNKS_A_POLL = 50

# What each stream's route says of its answer in OpenAPI.
SERVER_SENT: dict[str, Any] = {
    "response_class": StreamingResponse,
    "responses": {
        200: {
            "description": "Server-sent events. The `id` of the last one, sent as `Last-Event-ID`, goes on after it.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
}

LastEventId = Annotated[str, Header(alias="last-event-id", description="Go on after this message.")]
Read = Callable[[str], Awaitable[Tail]]


def routes(registry: Registry) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["streams"])

    @router.get(
        "/events/stream",
        summary="Events of the project as they happen",
        **SERVER_SENT,
    )
    async def stream_events(
        subject: Annotated[str, Query(description="Only events about this id.")] = "",
        after: Annotated[int, Query(ge=0, lt=2**63)] = 0,
        last_event_id: LastEventId = "",
    ) -> StreamingResponse:
        return server_sent(events(registry, position(last_event_id, after), subject))

    @router.get(
        "/runs/{run_id}/events/stream",
        summary="Events of one run",
        **SERVER_SENT,
    )
    async def stream_run_events(run_id: str, last_event_id: LastEventId = "") -> StreamingResponse:
        await registry.get_run(run_id)
        return server_sent(events(registry, position(last_event_id, 0), run_id))

    @router.get(
        "/runs/{run_id}/metrics/stream",
        summary="Metric points of a run",
        **SERVER_SENT,
    )
    async def stream_metrics(
        run_id: str,
        key: Annotated[list[str], Query(description="Only these metrics.")] = [],  # noqa: B006
        last_event_id: LastEventId = "",
    ) -> StreamingResponse:
        await registry.get_run(run_id)

        async def read(cursor: str) -> Tail:
            return await registry.query_metrics(run_id, key, cursor, POINTS_A_POLL)

        return server_sent(tail(read, "metrics", last_event_id, await first(read, last_event_id)))

    @router.get("/runs/{run_id}/logs/stream", summary="Log of a run", **SERVER_SENT)
    async def stream_logs(run_id: str, stream: str = "", last_event_id: LastEventId = "") -> StreamingResponse:
        await registry.get_run(run_id)

        async def read(cursor: str) -> Tail:
            return await registry.read_log(run_id, stream, cursor, CHUNKS_A_POLL)

        return server_sent(tail(read, "logs", last_event_id, await first(read, last_event_id)))

    return router


def position(last_event_id: str, after: int) -> int:
    if not last_event_id:
        return after
    # isdecimal alone also takes digits of other scripts, and int() a number of any length.
    if not (last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) <= 18):
        raise not_a_position(last_event_id)
    return int(last_event_id)


def not_a_position(last_event_id: str) -> LeptonError:
    return invalid("Last-Event-ID", "not a position of this stream", last_event_id, "the id of a received message")


async def events(registry: Registry, after: int, subject: str) -> AsyncIterator[str]:
    async for batch in registry.watch_events(after, subject):
        for event in batch:
            yield message(event.type, event.model_dump_json(), str(event.position))


async def first(read: Read, last_event_id: str) -> Tail:
    """Read before the status line leaves: a client must not come back for ever with an id that nobody gave it."""
    try:
        return await read(last_event_id)
    except LeptonError as error:
        if error.code is ErrorCode.INVALID and last_event_id:
            raise not_a_position(last_event_id) from error
        raise


async def tail(read: Read, name: str, cursor: str, found: Tail) -> AsyncIterator[str]:
    """Polls `read` on from `found`, what it gave at `cursor`; each message holds one poll. Ends with `end`."""
    texts = Texts()
    while True:
        if found.items:
            cursor = found.cursor
            yield message(name, json.dumps([texts.shown(item) for item in found.items]), cursor)
        elif found.end:
            yield message("end", "{}", cursor)
            return
        else:
            await asyncio.sleep(POLL_SECONDS)
        found = await read(cursor)


class Texts:
    """Logs become text here: a stream is for people and terminals. A character may lie across two chunks of a log."""

    def __init__(self) -> None:
        self._decoders: dict[tuple[str, str], codecs.IncrementalDecoder] = {}

    def shown(self, item: MetricPoint | LogChunk) -> dict[str, object]:
        if not isinstance(item, LogChunk):
            return item.model_dump(mode="json")
        log = (item.attempt_id, item.stream)
        if log not in self._decoders:
            self._decoders[log] = codecs.getincrementaldecoder("utf-8")("replace")
        return {**item.model_dump(exclude={"data"}), "text": self._decoders[log].decode(item.data)}


def message(name: str, data: str, id: str) -> str:
    """`data` is one line of JSON."""
    return f"id: {id}\nevent: {name}\ndata: {data}\n\n"


def server_sent(messages: AsyncIterator[str]) -> StreamingResponse:
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(with_keep_alive(messages), media_type="text/event-stream", headers=headers)


async def with_keep_alive(messages: AsyncIterator[str]) -> AsyncIterator[str]:
    """A comment whenever nothing else was sent for a while; an error becomes a last message `error`."""
    iterator = aiter(messages)
    waiting: asyncio.Future[str] | None = None
    # Headers leave at once, so that a client knows it is connected before the first message.
    yield ": connected\n\n"
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(anext(iterator))
            done, _ = await asyncio.wait((waiting,), timeout=KEEP_ALIVE_SECONDS)
            if not done:
                yield ": keep-alive\n\n"
                continue
            finished, waiting = waiting, None
            try:
                yield finished.result()
            except StopAsyncIteration:
                return
            except LeptonError as error:
                yield f"event: error\ndata: {json.dumps({'code': error.code, 'detail': error.detail})}\n\n"
                return
    finally:
        if waiting is not None:
            waiting.cancel()
