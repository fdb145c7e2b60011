"""Builds a gRPC server: authentication, policy, error mapping, health and reflection.

Every method is wrapped once, when it is registered, so that a call costs no chain of interceptors; its order is
request id → authenticate → policy → read → parse → handler → error mapping. A method without a row in the policy table
is refused.

grpc.aio receives the request of a unary method before any of our code runs, except interceptors, which cannot stop it.
So every method is registered as one with a stream of requests, which is the same on the wire, and its message is read
here, after the caller was authorized. Until then HTTP/2's flow control holds the sender back, so that callers without
a token cannot fill the memory with large messages.
"""

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

from lepton_core.api.limits import DEFAULT_MESSAGE_BYTES
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.grpc.enums import check_enums
from lepton_core.grpc.errors import MAX_STATUS_CHARS, error_metadata, public_error, status_of
from lepton_core.identity.authenticators import ACTING_KEY, Authenticator, identify
from lepton_core.identity.policies import POLICIES, PUBLIC, Policy, authorize_by
from lepton_core.identity.principals import set_principal
from lepton_core.observability import Observe
from lepton_core.request_context import REQUEST_ID_HEADER, begin_request, current_request_id

REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
# Public methods (health, reflection) read from anybody. These limit how many of their messages may be read at a time,
# and for how long, so that they use at most this many times the largest message.
PUBLIC_READS = 4
PUBLIC_READ_SECONDS = 2.0

log = logging.getLogger("lepton.grpc")

# The generated `add_…Servicer_to_server` and the servicer it takes.
Registration = tuple[Callable[[Any, Any], object], Any]
# Reads what a method takes, one message or a stream of them, from the call's context.
Take = Callable[[Any], Awaitable[Any]]
OK = "ok"


class RpcServer:
    """A built server; `methods` are the RPCs it answers, for the test that each has a policy."""

    def __init__(self, server: grpc.aio.Server, health: HealthServicer, methods: Sequence[str]) -> None:
        self.server = server
        self.methods = tuple(methods)
        self._health = health
        self._services = sorted({method.split("/")[1] for method in methods})

    def bind(self, address: str) -> int:
        """Listens at `host:port` (port 0: any free one); returns the port. Raises UNAVAILABLE if the port is in use."""
        try:
            return self.server.add_insecure_port(address)
        except RuntimeError as error:
            raise LeptonError(ErrorCode.UNAVAILABLE, f"cannot listen at {address}: {error}") from None

    async def start(self) -> None:
        await self.server.start()
        for service in ("", *self._services):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def set_serving(self, serving: bool) -> None:
        """Sets the answer to health checks, for a server that has started but cannot serve yet."""
        status = health_pb2.HealthCheckResponse
        await self._health.set("", status.SERVING if serving else status.NOT_SERVING)

    async def drain(self, grace_seconds: float) -> None:
        """Reports "not serving" to health checks, refuses new calls, and gives current calls `grace_seconds` to end."""
        await self._health.enter_graceful_shutdown()
        await self.server.stop(grace_seconds)

    async def wait(self) -> None:
        await self.server.wait_for_termination()


def build_server(
    servicers: Sequence[Registration],
    authenticator: Authenticator,
    *,
    max_message_bytes: int = DEFAULT_MESSAGE_BYTES,
    policies: Mapping[str, Policy] = POLICIES,
    observe: Observe | None = None,
) -> RpcServer:
    """A grpc.aio server with the servicers, health and reflection. Call it within the running event loop."""
    server = grpc.aio.server(options=_options(max_message_bytes))
    ours = _registered(servicers)
    health = HealthServicer()
    names = (*ours, "grpc.health.v1.Health", REFLECTION)
    standard = _registered(
        [
            (health_pb2_grpc.add_HealthServicer_to_server, health),
            (reflection_pb2_grpc.add_ServerReflectionServicer_to_server, ReflectionServicer(names)),
        ]
    )
    public_reads = asyncio.Semaphore(PUBLIC_READS)
    for service, handlers in (ours | standard).items():
        guarded = {}
        for name, handler in handlers.items():
            method = f"/{service}/{name}"
            policy = PUBLIC if service in standard else policies.get(method)
            guarded[name] = _Guard(method, policy, authenticator, public_reads, observe).wrap(handler)
        # Not also as registered methods: grpc.aio then keeps a task for each of them, and waits on all at every call.
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, guarded),))
    server.add_generic_rpc_handlers((_UnknownMethods(ours | standard, observe),))
    methods = [f"/{service}/{name}" for service, handlers in ours.items() for name in handlers]
    return RpcServer(server, health, methods)


def _registered(servicers: Sequence[Registration]) -> dict[str, dict[str, Any]]:
    """The handlers of each service, by the names of their methods."""
    found = _Registrar()
    for add, servicer in servicers:
        add(servicer, found)
    return found.services


class _Registrar:
    """Passed to the generated functions in place of a server; keeps the handlers that they register."""

    def __init__(self) -> None:
        self.services: dict[str, dict[str, Any]] = {}

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """Ignored: the same handlers are also registered by service, below."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        self.services[service] = handlers


class _UnknownMethods(grpc.GenericRpcHandler):
    """Answers calls of unknown methods: grpc's own answer does not name the method."""

    def __init__(self, services: Mapping[str, Mapping[str, Any]], observe: Observe | None) -> None:
        self._services = services
        self._observe = observe

    def service(self, handler_call_details: Any) -> Any:
        method = str(handler_call_details.method)
        known = self._services.get(method.strip("/").partition("/")[0], ())
        methods = f"; its methods: {', '.join(known)}" if known else ""
        text = f"this server does not offer {method[:200]}{methods}"

        async def refuse(_requests: object, context: Any) -> None:
            begin_request("")
            if self._observe:
                self._observe("unknown", ErrorCode.UNIMPLEMENTED.value, 0.0)
            error = LeptonError(ErrorCode.UNIMPLEMENTED, text)
            metadata = error_metadata(error, current_request_id())
            await context.abort(status_of(error), error.message[:MAX_STATUS_CHARS], metadata)

        return grpc.stream_unary_rpc_method_handler(refuse, None, None)


class _Guard:
    """The checks before one method."""

    def __init__(
        self,
        method: str,
        policy: Policy | None,
        authenticator: Authenticator,
        public_reads: asyncio.Semaphore,
        observe: Observe | None,
    ) -> None:
        self._method = method
        self._policy = policy
        self._authenticator = authenticator
        self._public_reads = public_reads if policy is not None and policy.public else None
        self._observe = observe

    def wrap(self, handler: Any) -> Any:
        """The same method with the guard around it; it gives requests as bytes, which the guard reads and parses."""
        requests = "stream" if handler.request_streaming else "unary"
        behaviour = getattr(handler, f"{requests}_{'stream' if handler.response_streaming else 'unary'}")
        parse = _parser(self._method, handler.request_deserializer)
        take = self._all(parse) if handler.request_streaming else self._only(parse)
        if handler.response_streaming:
            guard: Any = self._streaming(_generating(behaviour), take)
            return grpc.stream_stream_rpc_method_handler(guard, None, handler.response_serializer)
        # Anything else is a method of the contract that this server has not overridden.
        is_ours = inspect.iscoroutinefunction(behaviour)
        guard = self._single(behaviour if is_ours else _unimplemented, take)
        return grpc.stream_unary_rpc_method_handler(guard, None, handler.response_serializer)

    def _single(self, behaviour: Callable[..., Any], take: Take) -> Callable[..., Any]:
        async def call(_raw: Any, context: Any) -> Any:
            started = time.perf_counter() if self._observe else 0.0
            code = OK
            try:
                await self._admit(context)
                return await behaviour(await take(context), context)
            except Exception as error:  # noqa: BLE001 - the caller gets it, whatever it is
                code = _code_of(error)
                await self._fail(error, context)
            finally:
                if self._observe:
                    self._observe(self._method, code, time.perf_counter() - started)

        return call

    def _streaming(self, behaviour: Callable[..., Any], take: Take) -> Callable[..., Any]:
        async def call(_raw: Any, context: Any) -> AsyncIterator[Any]:
            started = time.perf_counter() if self._observe else 0.0
            code = OK
            try:
                await self._admit(context)
                async for answer in behaviour(await take(context), context):
                    yield answer
            except Exception as error:  # noqa: BLE001 - the caller gets it, whatever it is
                code = _code_of(error)
                await self._fail(error, context)
            finally:
                if self._observe:
                    self._observe(self._method, code, time.perf_counter() - started)

        return call

    def _only(self, parse: Callable[[bytes], Any]) -> Take:
        async def take(context: Any) -> Any:
            raw = await self._read(context)
            if raw is grpc.aio.EOF:
                raise LeptonError(ErrorCode.INVALID, f"{self._method} takes one message; none was sent")
            return parse(raw)

        return take

    def _all(self, parse: Callable[[bytes], Any]) -> Take:
        async def messages(context: Any) -> AsyncIterator[Any]:
            while (raw := await self._read(context)) is not grpc.aio.EOF:
                yield parse(raw)

        async def take(context: Any) -> Any:
            return messages(context)

        return take

    async def _read(self, context: Any) -> Any:
        """The next message as bytes, or EOF."""
        if self._public_reads is None:
            return await context.read()
        async with self._public_reads:
            try:
                async with asyncio.timeout(PUBLIC_READ_SECONDS):
                    return await context.read()
            except TimeoutError:
                raise LeptonError(
                    ErrorCode.TIMEOUT, f"the request did not arrive within {PUBLIC_READ_SECONDS:g} s"
                ) from None

    async def _admit(self, context: Any) -> None:
        authorization = acting = request_id = ""
        authorized = False
        for key, value in context.invocation_metadata():
            if key == "authorization":
                # Of two, neither counts, as over HTTP.
                authorization, authorized = "" if authorized else value, True
            elif key == ACTING_KEY:
                acting = value
            elif key == REQUEST_ID_HEADER:
                request_id = value
        begin_request(request_id)
        policy = self._policy
        if policy is not None and policy.public:
            set_principal(None)
            return
        principal = await identify(self._authenticator, authorization, acting)
        if policy is None or not policy.permits(principal):
            authorize_by(policy, principal, self._method)
        set_principal(principal)

    async def _fail(self, error: Exception, context: Any) -> NoReturn:
        """Ends the call with the error's status. Raises, always: that is how grpc.aio aborts a call."""
        if isinstance(error, grpc.aio.AbortError):
            raise error
        answer = public_error(error, self._method)
        if answer is error and log.isEnabledFor(logging.DEBUG):
            log.debug("%s refused: %s %s", self._method, answer.code, answer.detail)
        metadata = error_metadata(answer, current_request_id())
        await context.abort(status_of(answer), answer.message[:MAX_STATUS_CHARS], metadata)
        raise AssertionError("abort() always raises")


def _code_of(error: Exception) -> str:
    if isinstance(error, grpc.aio.AbortError):
        return "aborted"
    return error.code.value if isinstance(error, LeptonError) else ErrorCode.INTERNAL.value


def _generating(behaviour: Callable[..., Any]) -> Callable[..., Any]:
    """A method with a stream of answers as an async generator."""
    if inspect.isasyncgenfunction(behaviour):
        return behaviour
    if not inspect.iscoroutinefunction(behaviour):
        # A method of the contract that this server has not overridden.
        return _unimplemented_stream

    async def writing(request: object, context: object) -> AsyncIterator[None]:
        # It writes its answers itself, as the health service's Watch does.
        await behaviour(request, context)
        none: tuple[None, ...] = ()
        for answer in none:
            yield answer

    return writing


def _parser(method: str, deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def parse(raw: bytes) -> Any:
        try:
            message = deserialize(raw)
        except DecodeError:
            raise LeptonError(ErrorCode.INVALID, f"the request of {method} is not a message of its type") from None
        check_enums(message)
        return message

    return parse


async def _unimplemented(_request: object, _context: object) -> None:
    raise LeptonError(ErrorCode.UNIMPLEMENTED, "this server does not offer the method")


async def _unimplemented_stream(request: object, context: object) -> AsyncIterator[None]:
    await _unimplemented(request, context)
    yield None


def _options(max_message_bytes: int) -> list[tuple[str, Any]]:
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        # Otherwise two processes could listen on one port, and each would get some of the calls.
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ]
