"""HTTP/1.1: a fixed request over kept-alive connections. No parser but a search for the header's end and its length."""

import asyncio
import itertools
import time
from collections.abc import Iterable, Iterator
from typing import cast

from benchmarks.load.result import PATIENCE_SECONDS, Pass, summarize


def encode(host: str, path: str, body: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"host: {host}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class _Client(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], until: float) -> None:
        self._requests = requests
        self._until = until
        self._ended = False
        self._buffer = b""
        self._started = 0.0
        self._transport: asyncio.WriteTransport
        self.seconds: list[float] = []
        self.errors = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's are no subclass of it
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:") + 15
        length = int(head[at:].partition(b"\r\n")[0])
        if len(self._buffer) < end + 4 + length:
            return
        self._buffer = b""
        now = time.perf_counter()
        if head[9:11] == b"20":
            self.seconds.append(now - self._started)
        else:
            self.errors += 1
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if not self._ended:
            self.errors += 1
        if not self.done.done():
            self.done.set_result(None)

    def _send(self) -> None:
        self._started = time.perf_counter()
        request = next(self._requests, None) if self._started < self._until else None
        if request is None:
            self._ended = True
            self._transport.close()
        else:
            self._transport.write(request)


async def run(host: str, port: int, request: bytes, clients: int, seconds: float) -> Pass:
    """The same request again and again, for `seconds`."""
    return await _run(host, port, itertools.repeat(request), clients, seconds)


async def run_each(host: str, port: int, requests: Iterable[bytes], clients: int, seconds: float) -> Pass:
    """Each request once, by whichever client is free; `seconds` is the longest it may take."""
    return await _run(host, port, iter(requests), clients, seconds)


async def _run(host: str, port: int, requests: Iterator[bytes], clients: int, seconds: float) -> Pass:
    started = time.perf_counter()
    until = started + seconds
    loop = asyncio.get_running_loop()
    pairs = [await loop.create_connection(lambda: _Client(requests, until), host, port) for _ in range(clients)]
    async with asyncio.timeout(seconds + PATIENCE_SECONDS):
        await asyncio.gather(*(client.done for _, client in pairs))
    latencies = [each for _, client in pairs for each in client.seconds]
    return summarize(latencies, time.perf_counter() - started, sum(client.errors for _, client in pairs))
