"""uvicorn's HTTP/1.1 with two limits that it lacks: the size of headers and URLs, and the time that the rest of a
request may take."""

import asyncio
import logging

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.http.guard import problem_bytes
from lepton_core.http.problems import PROBLEM_MEDIA_TYPE

# Limit for a request's line and headers, and for anything else between two pieces of a body (trailers, chunk headers).
MAX_HEAD_BYTES = 64 * 1024
# How much more of a body is accepted after it was answered without being read; then the connection is closed.
MAX_IGNORED_BYTES = 4 * 1024 * 1024

log = logging.getLogger("lepton.http")


class BoundedHttpProtocol(HttpToolsProtocol):
    """Closes a connection whose sender exceeds the limits. The guard, which knows the route, limits bodies."""

    _head_bytes = 0
    _ignored_bytes = 0
    # Loop time at which the current, incomplete head began; None between heads.
    _head_since: float | None = None
    _heard_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # of asyncio.BaseTransport
        self._head_since = self._heard_at = self.loop.time()
        super().connection_made(transport)

    def end_if_stalled(self, now: float, head_seconds: float, body_seconds: float) -> None:
        """Closes a connection whose sender is too slow; some thousands of them would use up all connections."""
        if self._head_since is not None:
            stalled = now - self._head_since > head_seconds
        else:
            waits = self.cycle.more_body and not self.cycle.response_complete and not self.flow.read_paused
            stalled = waits and now - self._heard_at > body_seconds
        if stalled and not self.transport.is_closing():
            log.info("a request did not come to its end in time")
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self._heard_at = self.loop.time()
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            log.info("a request's line and headers are longer than %s bytes", MAX_HEAD_BYTES)
            self.send_400_response(f"The request line and headers are too long; at most {MAX_HEAD_BYTES} bytes.")

    def send_400_response(self, msg: str) -> None:
        """A problem document, as for every other fault: uvicorn would send plain text."""
        _, body = problem_bytes(LeptonError(ErrorCode.INVALID, msg), status=400)
        head = (
            "HTTP/1.1 400 Bad Request\r\n"
            f"content-type: {PROBLEM_MEDIA_TYPE}\r\n"
            f"content-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def on_message_begin(self) -> None:
        if self._head_since is None:
            self._head_since = self._heard_at
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # After the head, these are trailers. They must not be merged into the headers (RFC 9110, 6.5.1): a key or a
        # length in them would be trusted although no proxy on the way has checked it.
        if self._head_since is not None:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_since = None
        # What came in one piece with the rest of the head is at most one read of the socket.
        self._head_bytes = self._ignored_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        if self.cycle.response_complete:
            self._ignored_bytes += len(body)
            if self._ignored_bytes > MAX_IGNORED_BYTES:
                self.transport.close()
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        super().on_message_complete()
