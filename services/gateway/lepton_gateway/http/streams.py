"""Live streams as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

The id of each message is a cursor: a client that reconnects with `Last-Event-ID` continues after it. A stream that has
an end sends a last message `end`; a client that reconnects after it gets 204, which stops a browser's EventSource. An
error is sent as a message `problem`, because one named `error` would reach the handlers of EventSource's own errors.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from lepton_core.api import LogChunk, MetricPoint, RunState
from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_gateway.registry import Registry
from lepton_gateway.registry.runs import Tail

# An idle stream sends a comment at this interval, so that proxies do not close it.
KEEP_ALIVE_SECONDS = 15.0
POLL_SECONDS = 0.3
POINTS_A_POLL = 2000
CHUNKS_A_POLL = 50

# The answers of each stream's route in OpenAPI.
SERVER_SENT: dict[str, Any] = {
    "response_class": StreamingResponse,
    "responses": {
        200: {
            "description": "Server-sent events. Send the last `id` as `Last-Event-ID` to continue after it. "
            "The last message is `end`, if the stream has an end, or `problem` with a code and a detail.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        204: {"description": "The stream ended at `Last-Event-ID`: nothing comes after it."},
    },
}
# A run's last event, by its type.
LAST_EVENTS = frozenset(
    f"dev.lepton.run.{state}.v1" for state in (RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED)
)
# The leader numbers a run's events well within this time after its end. If the last event is missing later than that,
# it was deleted.
NUMBERING_US = 60_000_000

LastEventId = Annotated[str, Header(alias="last-event-id", description="Continue after this message.")]
Read = Callable[[str], Awaitable[Tail]]


def routes(registry: Registry) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["streams"])

    @router.get(
        "/events/stream",
        summary="Stream the events of the project",
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
        summary="Stream the events of one run",
        **SERVER_SENT,
    )
    async def stream_run_events(run_id: str, last_event_id: LastEventId = "") -> Response:
        """Ends with the event that says how the run ended."""
        after = position(last_event_id, 0)
        if await nothing_after(registry, run_id, after):
            return ended(last_event_id)
        return server_sent(run_events(registry, run_id, after))

    @router.get(
        "/runs/{run_id}/metrics/stream",
        summary="Stream the metric points of a run",
        **SERVER_SENT,
    )
    async def stream_metrics(
        run_id: str,
        key: Annotated[list[str], Query(description="Only these metrics.")] = [],  # noqa: B006 - FastAPI copies it
        last_event_id: LastEventId = "",
    ) -> Response:
        await registry.get_run(run_id)

        async def read(cursor: str) -> Tail:
            return await registry.query_metrics(run_id, key, cursor, POINTS_A_POLL)

        return await tailed(read, "metrics", last_event_id)

    @router.get("/runs/{run_id}/logs/stream", summary="Stream the log of a run", **SERVER_SENT)
    async def stream_logs(run_id: str, stream: str = "", last_event_id: LastEventId = "") -> Response:
        await registry.get_run(run_id)

        async def read(cursor: str) -> Tail:
            return await registry.read_log(run_id, stream, cursor, CHUNKS_A_POLL)

        return await tailed(read, "logs", last_event_id)

    return router


def position(last_event_id: str, after: int) -> int:
    if not last_event_id:
        return after
    # isdecimal() alone accepts digits of other scripts, and int() accepts a number of any length.
    if not (last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) <= 18):
        raise not_a_position(last_event_id)
    return int(last_event_id)


def not_a_position(last_event_id: str) -> LeptonError:
    return invalid("Last-Event-ID", "not a position of this stream", last_event_id, "the id of a received message")


async def events(registry: Registry, after: int, subject: str) -> AsyncIterator[str]:
    async for batch in registry.watch_events(after, subject):
        for event in batch:
            yield message(event.type, event.model_dump_json(), str(event.position))


async def nothing_after(registry: Registry, run_id: str, after: int) -> bool:
    """Whether the run has ended and its last event is not after this position."""
    run = await registry.get_run(run_id)
    if run.state in (RunState.QUEUED, RunState.RUNNING) or (await registry.list_events(after, 1, run_id))[0]:
        return False
    received, _ = await registry.list_events(max(after - 1, 0), 1, run_id)
    if received:
        return received[0].type in LAST_EVENTS
    return time.time_ns() // 1000 - run.finished_at_us > NUMBERING_US


async def run_events(registry: Registry, run_id: str, after: int) -> AsyncIterator[str]:
    async for batch in registry.watch_events(after, run_id):
        for event in batch:
            yield message(event.type, event.model_dump_json(), str(event.position))
            if event.type in LAST_EVENTS:
                yield message("end", "{}", str(event.position))
                return


async def tailed(read: Read, name: str, last_event_id: str) -> Response:
    found = await first(read, last_event_id)
    if last_event_id and found.end and not found.items:
        return ended(last_event_id)
    return server_sent(tail(read, name, last_event_id, found))


def ended(last_event_id: str) -> Response:
    """For a stream with nothing left: 204 to a client that reconnects, so that it stops; else only `end`."""
    if last_event_id:
        return Response(status_code=204)
    return server_sent(only_the_end())


async def only_the_end() -> AsyncIterator[str]:
    yield message("end", "{}", "0")


async def first(read: Read, last_event_id: str) -> Tail:
    """Checked before the status is sent, so that a client with an unknown id gets an error and does not reconnect."""
    try:
        return await read(last_event_id)
    except LeptonError as error:
        if error.code is ErrorCode.INVALID and last_event_id:
            raise not_a_position(last_event_id) from error
        raise


async def tail(read: Read, name: str, cursor: str, found: Tail) -> AsyncIterator[str]:
    """Continues from `found`, the result of `read` at `cursor`: one message for each poll, and `end` as the last."""
    texts = Texts()
    while True:
        if found.items:
            cursor = found.cursor
            yield message(name, json.dumps([texts.shown(item) for item in found.items]), cursor)
        elif found.end:
            # The registry's cursor, which is never empty: with an empty id, a browser would start from the beginning.
            yield message("end", "{}", found.cursor)
            return
        else:
            await asyncio.sleep(POLL_SECONDS)
        found = await read(cursor)


class Texts:
    """Decodes log chunks to text. A character may be split between two chunks."""

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
    """Adds a comment when nothing else was sent for a while, and turns an error into a last message `problem`."""
    iterator = aiter(messages)
    waiting: asyncio.Future[str] | None = None
    # Sends the headers at once, so that a client knows it is connected before the first message.
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
                yield f"event: problem\ndata: {json.dumps({'code': error.code, 'detail': error.message})}\n\n"
                return
    finally:
        if waiting is not None:
            waiting.cancel()
