"""uvicorn's HTTP/1.1 with the bounds it lacks: its fast parser takes headers and URLs of any length into memory."""

import logging

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Of one request's line and headers, or of whatever else comes between two pieces of bodies (trailers, chunk headers).
MAX_HEAD_BYTES = 64 * 1024
# What may still come of a body that was answered without being read: then the connection ends.
MAX_IGNORED_BYTES = 4 * 1024 * 1024

log = logging.getLogger("lepton.http")


class BoundedHttpProtocol(HttpToolsProtocol):
    """Ends a connection whose sender goes beyond the bounds. Bodies are bounded by the guard, who knows the route."""

    _head_bytes = 0
    _ignored_bytes = 0

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            log.info("a request's line and headers are longer than %s bytes", MAX_HEAD_BYTES)
            self.send_400_response(f"The request line and headers are too long; at most {MAX_HEAD_BYTES} bytes.")

    def on_headers_complete(self) -> None:
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
