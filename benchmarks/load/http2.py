"""gRPC unary calls as bare HTTP/2 frames, one stream at a time on each connection.

A gRPC client in Python costs as much as the server it measures; this one only frames a message that was encoded
before (RFC 9113), and never decodes header blocks: a call counts as good when its answer has the length of one that
a real client checked.
"""

import asyncio
import struct
import time
from typing import cast

from benchmarks.load.result import PATIENCE_SECONDS, Pass, summarize

_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 1, 1, 4
_WINDOW_MAX = 2**31 - 1
_FRAME_MAX = 16_384


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(name: str, value: str) -> bytes:
    """A header that is neither indexed nor Huffman-coded (RFC 7541, 6.2.2); names and values below 127 octets."""
    assert len(name) < 127
    assert len(value) < 127
    return bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def encode_headers(host: str, path: str, headers: dict[str, str]) -> bytes:
    fixed = {":method": "POST", ":scheme": "http", ":path": path, ":authority": host}
    fixed |= {"content-type": "application/grpc", "te": "trailers"}
    return b"".join(_literal(name, value) for name, value in (fixed | headers).items())


def encode_message(message: bytes) -> bytes:
    return b"\0" + struct.pack(">I", len(message)) + message


class _Client(asyncio.Protocol):
    def __init__(self, headers: bytes, body: bytes, answer_bytes: int, until: float) -> None:
        self._headers = headers
        self._body = body
        self._answer_bytes = answer_bytes
        self._until = until
        self._buffer = b""
        self._stream = -1
        self._received = 0
        self._started = 0.0
        # What the peer lets us send on the whole connection; a call waits when it is used up.
        self._window = 65_535
        self._stalled = False
        self._transport: asyncio.WriteTransport
        self.seconds: list[float] = []
        self.errors = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's are no subclass of it
        settings = struct.pack(">HIHI", 2, 0, 4, _WINDOW_MAX)  # no push; answers of any length
        window = struct.pack(">I", _WINDOW_MAX - 65_535)
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        self._transport.write(preface + frame(_SETTINGS, 0, 0, settings) + frame(_WINDOW, 0, 0, window))
        self._call()

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        at, end = 0, len(buffer)
        while end - at >= 9:
            length = int.from_bytes(buffer[at : at + 3], "big")
            if end - at - 9 < length:
                break
            stream = int.from_bytes(buffer[at + 5 : at + 9], "big")
            self._frame(buffer[at + 3], buffer[at + 4], stream, buffer[at + 9 : at + 9 + length])
            at += 9 + length
        self._buffer = buffer[at:]

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == _DATA:
            self._received += len(payload)
        elif kind == _SETTINGS and not flags & _ACK:
            self._transport.write(frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._transport.write(frame(_PING, _ACK, 0, payload))
        elif kind == _WINDOW and stream == 0:
            self._window += int.from_bytes(payload, "big")
            if self._stalled:
                self._call()
        elif kind in (_RST, _GOAWAY):
            self.errors += 1
            self._transport.close()
        if kind in (_DATA, _HEADERS) and flags & _END_STREAM:
            self._ended()

    def _ended(self) -> None:
        now = time.perf_counter()
        if self._received == self._answer_bytes:
            self.seconds.append(now - self._started)
        else:
            self.errors += 1
        if now < self._until:
            self._call()
        else:
            self._transport.close()

    def _call(self) -> None:
        self._stalled = self._window < len(self._body)
        if self._stalled:
            return
        self._window -= len(self._body)
        self._stream += 2
        self._received = 0
        self._started = time.perf_counter()
        parts = [frame(_HEADERS, _END_HEADERS, self._stream, self._headers)]
        for at in range(0, len(self._body), _FRAME_MAX):
            last = at + _FRAME_MAX >= len(self._body)
            parts.append(frame(_DATA, _END_STREAM if last else 0, self._stream, self._body[at : at + _FRAME_MAX]))
        self._transport.write(b"".join(parts))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if time.perf_counter() < self._until:
            self.errors += 1
        if not self.done.done():
            self.done.set_result(None)


async def run(
    host: str, port: int, headers: bytes, message: bytes, answer_bytes: int, clients: int, seconds: float
) -> Pass:
    """`answer_bytes` is the length of a good answer's frame: 5 and its message."""
    body = encode_message(message)
    started = time.perf_counter()
    until = started + seconds
    loop = asyncio.get_running_loop()
    pairs = [
        await loop.create_connection(lambda: _Client(headers, body, answer_bytes, until), host, port)
        for _ in range(clients)
    ]
    async with asyncio.timeout(seconds + PATIENCE_SECONDS):
        await asyncio.gather(*(client.done for _, client in pairs))
    latencies = [each for _, client in pairs for each in client.seconds]
    return summarize(latencies, time.perf_counter() - started, sum(client.errors for _, client in pairs))
