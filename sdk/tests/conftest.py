"""An object store as the SDK meets it: presigned URLs of another server, here one that can be told to misbehave."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


class StoreHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Store

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.seen.append(dict(self.headers))
        if self.server.refusals > 0:
            self.server.refusals -= 1
            return self._answer(503, b"busy")
        if self.path == "/forgotten":
            return self._answer(404, b"")
        self.server.objects[self.path] = body
        return self._answer(200, b"", etag='"e-1"')

    def do_GET(self) -> None:
        self.server.seen.append(dict(self.headers))
        first, _, last = self.headers["range"].removeprefix("bytes=").partition("-")
        data = self.server.objects.get(self.path)
        if data is None:
            return self._answer(404, b"")
        start, end = int(first) + self.server.shift, int(last) + self.server.shift
        if self.server.cuts > 0:
            # Promises the whole range, sends a part of it and hangs up.
            self.server.cuts -= 1
            self.close_connection = True
            piece, length = data[start : start + 10], end - start + 1
            return self._answer(206, piece, sent=f"bytes {start}-{end}/{len(data)}", length=length)
        return self._answer(206, data[start : end + 1], sent=f"bytes {start}-{end}/{len(data)}")

    def _answer(self, status: int, body: bytes, *, etag: str = "", sent: str = "", length: int = -1) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body) if length < 0 else length))
        for name, value in (("etag", etag), ("content-range", sent)):
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Quiet."""


class Store(ThreadingHTTPServer):
    """`refusals`: how many PUTs get 503; `cuts`: how many GETs break off; `shift`: a range that was not asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), StoreHandler)
        self.objects: dict[str, bytes] = {}
        self.seen: list[dict[str, str]] = []
        self.refusals = self.cuts = self.shift = 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without any login."""
    for name in ("LEPTON_URL", "LEPTON_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    monkeypatch.setenv("LEPTON_HOME", str(folder))
    return folder
