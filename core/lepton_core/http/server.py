"""Runs an ASGI app in a process that also has other servers to run and drain."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.http.protocol import BoundedHttpProtocol

BACKLOG = 2048
# From the first byte of a request, or the connection's start, to the end of its headers.
HEAD_SECONDS = 30.0
# Between two pieces of a body that the app waits for.
BODY_SECONDS = 60.0
# Ticks of uvicorn (0.1 s each) between two checks for stalled senders.
LOOK_TICKS = 10


class HttpServer(uvicorn.Server):
    """Listens as soon as it is made. Raises UNAVAILABLE if the address is in use."""

    def __init__(
        self,
        app: ASGIApp,
        listen: str,
        *,
        drain_seconds: float,
        head_seconds: float = HEAD_SECONDS,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        """`listen` is `host:port`; port 0 takes any free one."""
        self._head_seconds = head_seconds
        self._body_seconds = body_seconds
        self._socket = _bound(listen)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            loop="none",
            http=BoundedHttpProtocol,
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            date_header=False,
            # Streams never end by themselves; a stop must not wait for them.
            timeout_graceful_shutdown=max(1, int(drain_seconds)),
        )
        super().__init__(config)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Installs no signal handlers: uvicorn's would end the process before its other parts have drained."""
        yield

    async def on_tick(self, counter: int) -> bool:
        if counter % LOOK_TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, BoundedHttpProtocol):
                    connection.end_if_stalled(now, self._head_seconds, self._body_seconds)
        return await super().on_tick(counter)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serves until the block ends, then waits for the current requests."""
        task = asyncio.create_task(self.serve([self._socket]))
        try:
            # uvicorn has no event for its start. Until then, connections wait in the socket's backlog.
            while not self.started and not task.done():  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.005)
            yield
        finally:
            self.should_exit = True
            await task
            self._socket.close()


def _bound(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family, backlog=BACKLOG)
    except (OSError, ValueError) as error:
        raise LeptonError(ErrorCode.UNAVAILABLE, f"cannot listen at {listen}: {error}") from None
