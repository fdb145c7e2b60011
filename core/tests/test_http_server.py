"""Connections that somebody keeps open without ever coming to the end of a request."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from lepton_core.http.server import HttpServer

DEADLINE_SECONDS = 10.0


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers how much it was sent."""
    assert scope["type"] == "http"
    got, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        got += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = str(got).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    server = HttpServer(echo, "127.0.0.1:0", drain_seconds=1, head_seconds=0.5, body_seconds=0.5)
    async with server.running():
        yield server.port


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nabc",
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
async def test_a_sender_that_stops_loses_its_connection(begun: bytes) -> None:
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(begun)
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize(
    "sent",
    [
        b"NONSENSE\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nx-long: " + b"a" * 100_000,
    ],
)
async def test_what_is_no_http_is_answered_with_a_problem_too(sent: bytes) -> None:
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        async with asyncio.timeout(DEADLINE_SECONDS):
            head, _, body = (await reader.read(10_000)).partition(b"\r\n\r\n")
        writer.close()
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-type: application/problem+json\r\n" in head
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (400, "invalid")
    assert problem["detail"]


async def test_a_head_that_comes_in_drops_is_not_waited_for() -> None:
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n")
        until = time.monotonic() + DEADLINE_SECONDS
        while not reader.at_eof():
            assert time.monotonic() < until
            writer.write(b"x-a: b\r\n")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.1)
        writer.close()


async def test_a_body_may_take_its_time_as_long_as_it_comes() -> None:
    async with serving() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 20\r\n\r\n")
        for _ in range(20):
            writer.write(b"x")
            await asyncio.sleep(0.1)
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert (await reader.read(100)).endswith(b"\r\n\r\n20")
        writer.close()
