"""An ASGI layer in front of an HTTP service: request id → Host → route → authenticate → policy → limits.

Every error becomes a problem document. A request for a route without a row in the policy table is refused, so a new
route cannot be called until it has a row.
"""

import json
import logging
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from typing import Any

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lepton_core.api.limits import MAX_REQUEST_BYTES
from lepton_core.errors import ErrorCode, FieldError, LeptonError
from lepton_core.http.problems import PROBLEM_MEDIA_TYPE, problem_of
from lepton_core.http.routes import RouteIndex
from lepton_core.identity.authenticators import ACTING_KEY, Authenticator, identify
from lepton_core.identity.policies import POLICIES, Policy, authorize_by
from lepton_core.identity.principals import set_principal
from lepton_core.observability import Observe
from lepton_core.request_context import REQUEST_ID_HEADER, begin_request, current_request_id

# How long, and how much, a refused body is read on, so that its sender gets to read the answer (a socket closed
# with unread bytes resets the connection).
LINGER_SECONDS = 1.0
LINGER_BYTES = 4 * 1024 * 1024

log = logging.getLogger("lepton.http")

_NO_END = nullcontext()
_ACTING, _REQUEST_ID = ACTING_KEY.encode(), REQUEST_ID_HEADER.encode()


class Guard:
    """`routes` is asked at the first request, when the app has all of them. `observe` gets the policy key of each
    request (or "unknown"), its HTTP status and its seconds.

    `large_bodies`: the policy keys of routes whose bodies may have `max_body_bytes`; others have at most
    MAX_REQUEST_BYTES. None: all routes.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        routes: Callable[[], RouteIndex],
        authenticator: Authenticator,
        max_body_bytes: int,
        large_bodies: Collection[str] | None = None,
        policies: Mapping[str, Policy] = POLICIES,
        observe: Observe | None = None,
    ) -> None:
        self._app = app
        self._make_routes = routes
        self._routes: RouteIndex | None = None
        self._authenticator = authenticator
        self._max_body_bytes = max_body_bytes
        self._large_bodies = large_bodies
        self._policies = policies
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(_Exchange(scope, receive, send))
        # No service here speaks WebSocket; without an answer the server refuses the handshake.

    async def _serve(self, exchange: "_Exchange") -> None:
        started = time.perf_counter() if self._observe else 0.0
        key = "unknown"
        try:
            key = self._route(exchange)
            await self._admit(exchange, key)
            exchange.limit(self._limit_of(key))
            with exchange.ending or _NO_END:
                await self._app(exchange.scope, exchange.receive, exchange.send)
            if exchange.over_limit:
                raise too_large(exchange.limit_bytes)
        except LeptonError as error:
            await exchange.refuse(error)
        except Exception as error:
            log.error("%s failed (request %s)", key, current_request_id(), exc_info=error)
            # The fault's text is not sent: it may hold paths, SQL or data of others.
            await exchange.refuse(LeptonError(ErrorCode.INTERNAL, f"internal error; request {current_request_id()}"))
        finally:
            if self._observe:
                self._observe(key, str(exchange.status), time.perf_counter() - started)

    def _limit_of(self, key: str) -> int:
        if self._large_bodies is None or key in self._large_bodies:
            return self._max_body_bytes
        return min(self._max_body_bytes, MAX_REQUEST_BYTES)

    def _route(self, exchange: "_Exchange") -> str:
        if self._routes is None:
            self._routes = self._make_routes()
        exchange.check_host()
        method, path = exchange.method, exchange.scope["path"]
        key = self._routes.find(method, path)
        if key is None:
            allowed = self._routes.allowed(path)
            if not allowed:
                raise LeptonError(ErrorCode.NOT_FOUND, "no such path; GET /openapi.json lists the paths")
            exchange.problem_status = 405
            exchange.problem_headers.append((b"allow", ", ".join(allowed).encode()))
            raise LeptonError(
                ErrorCode.UNIMPLEMENTED, f"Method {method[:20]} is not supported here; allowed: {', '.join(allowed)}"
            )
        return key

    async def _admit(self, exchange: "_Exchange", key: str) -> None:
        policy = self._policies.get(key)
        if policy is not None and policy.public:
            set_principal(None)
            return
        principal = await identify(self._authenticator, exchange.authorization, exchange.acting)
        if policy is None or not policy.permits(principal):
            authorize_by(policy, principal, key)
        set_principal(principal)


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        # HEAD is GET without the body (RFC 9110, 9.3.2). The server keeps its own scope, which still says HEAD.
        self._is_head = self.method == "HEAD"
        self.scope = {**scope, "method": "GET"} if self._is_head else scope
        # Cancels the app after the headers of a HEAD: the body that is not sent may be an endless stream.
        self.ending = anyio.CancelScope() if self._is_head else None
        self.receive = receive
        self._receive = receive
        self._send = send
        self.started = False
        self.status = 0
        self.over_limit = False
        self.limit_bytes = 0
        self.problem_status: int | None = None
        self.problem_headers: list[tuple[bytes, bytes]] = []
        self.authorization = self.acting = ""
        self._content_length = -1
        self._chunked = False
        self._hosts = 0
        self._received = 0
        request_id, authorized = "", False
        for name, value in scope["headers"]:
            if name == b"authorization":
                # Of two, a proxy might use another one than we do: then neither counts.
                self.authorization = "" if authorized else value.decode("latin-1")
                authorized = True
            elif name == b"content-length":
                self._content_length = int(value) if value.isdigit() else -1
            elif name == b"transfer-encoding":
                self._chunked = True
            elif name == b"host":
                self._hosts += 1
            elif name == _REQUEST_ID:
                request_id = value.decode("latin-1")
            elif name == _ACTING:
                self.acting = value.decode("latin-1")
        begin_request(request_id)

    def check_host(self) -> None:
        """Requires exactly one Host header (RFC 9112, 3.2): of two, a proxy might use another one than we do."""
        if self._hosts == 1 or (self._hosts == 0 and self.scope.get("http_version") == "1.0"):
            return
        self.problem_status = 400
        message = "a request needs exactly one Host header"
        raise LeptonError(
            ErrorCode.INVALID, f"{message} (got {self._hosts})", [FieldError("host", message, str(self._hosts), "1")]
        )

    def limit(self, limit_bytes: int) -> None:
        """Refuses a body whose content-length is too large, and counts the bytes of one without content-length."""
        self.limit_bytes = limit_bytes
        if self._content_length > limit_bytes:
            raise too_large(limit_bytes, self._content_length)
        if self._content_length < 0:
            self.receive = self._counted

    async def _counted(self) -> Message:
        message = await self._receive()
        self._received += len(message.get("body", b""))
        if self._received > self.limit_bytes:
            # Frameworks turn an exception here into their own answer, which `send` drops.
            self.over_limit = True
            raise too_large(self.limit_bytes)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if self.over_limit:
                return
            self.started = True
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (_REQUEST_ID, current_request_id().encode())]
        elif self.over_limit and not self.started:
            return
        elif self._is_head:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            if self.ending is not None:
                self.ending.cancel()
            return
        await self._send(message)

    async def refuse(self, error: LeptonError) -> None:
        if self.started:
            # A part of the answer was sent: only a broken connection can still show that it is incomplete.
            raise error
        request_id = current_request_id()
        problem = problem_of(error, request_id, status=self.problem_status)
        body = json.dumps(problem, ensure_ascii=False).encode("utf-8", "replace")
        headers = [
            (b"content-type", PROBLEM_MEDIA_TYPE.encode()),
            (b"content-length", str(len(body)).encode()),
            (_REQUEST_ID, request_id.encode()),
            *self.problem_headers,
            *error_headers(error),
        ]
        has_body = self._content_length > 0 or self._chunked
        if has_body:
            headers.append((b"connection", b"close"))
        self.started, self.status = True, problem["status"]
        await self._send({"type": "http.response.start", "status": self.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": has_body})
        if has_body:
            await self._linger()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _linger(self) -> None:
        left = LINGER_BYTES
        with anyio.move_on_after(LINGER_SECONDS):
            while left > 0:
                message = await self._receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return


def too_large(limit_bytes: int, got_bytes: int | None = None) -> LeptonError:
    got = f"{got_bytes} bytes" if got_bytes is not None else "too long"
    return LeptonError(ErrorCode.TOO_LARGE, f"the body is {got}; allowed: {limit_bytes} bytes")


def error_headers(error: LeptonError) -> list[tuple[bytes, bytes]]:
    """Headers that belong to an error's status (RFC 9110, RFC 6750)."""
    found: list[tuple[bytes, bytes]] = []
    if error.code is ErrorCode.UNAUTHENTICATED:
        found.append((b"www-authenticate", b'Bearer realm="lepton"'))
    if error.retry_after_seconds is not None:
        found.append((b"retry-after", str(max(1, round(error.retry_after_seconds))).encode()))
    return found


def problem_bytes(error: LeptonError, *, status: int | None = None) -> tuple[int, bytes]:
    """An error's HTTP status and problem document, for handlers within a framework."""
    problem: dict[str, Any] = problem_of(error, current_request_id(), status=status)
    return problem["status"], json.dumps(problem, ensure_ascii=False).encode("utf-8", "replace")
