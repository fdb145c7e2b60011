"""One way to build a gRPC server: who calls, may they, what went wrong, health, reflection.

Every method is wrapped once, when it is registered, so that a call costs no interceptor chain; its order is
request id → authenticate → policy → parse → handler → error mapping. The request is parsed only after its sender was
let in. A method without a row in the policy table is refused.
"""

import inspect
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.grpc.errors import MAX_STATUS_CHARS, error_metadata, public_error, status_of
from lepton_core.identity.authenticators import ACTING_KEY, Authenticator, identify
from lepton_core.identity.policies import POLICIES, Policy, authorize_by
from lepton_core.identity.principals import set_principal
from lepton_core.request_context import REQUEST_ID_HEADER, begin_request, current_request_id

REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
DEFAULT_MAX_MESSAGE_BYTES = 32 * 1024 * 1024

log = logging.getLogger("lepton.grpc")

# The generated `add_…Servicer_to_server` and the servicer it takes.
Registration = tuple[Callable[[Any, Any], object], Any]
# Called after each RPC: method, code ("ok" or an ErrorCode), seconds.
Observe = Callable[[str, str, float], None]


class RpcServer:
    """A built server; `methods` are the RPCs it answers, for the test that each has a policy."""

    def __init__(self, server: grpc.aio.Server, health: HealthServicer, methods: Sequence[str]) -> None:
        self.server = server
        self.methods = tuple(methods)
        self._health = health
        self._services = sorted({method.split("/")[1] for method in methods})

    def bind(self, address: str) -> int:
        """Listens at `host:port` (port 0: any free one); answers the port. Raises UNAVAILABLE when it is taken."""
        try:
            return self.server.add_insecure_port(address)
        except RuntimeError as error:
            raise LeptonError(ErrorCode.UNAVAILABLE, f"cannot listen at {address}: {error}") from None

    async def start(self) -> None:
        await self.server.start()
        for service in ("", *self._services):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)

    async def set_serving(self, serving: bool) -> None:
        """What health checks are told, for a server that is up but has nothing to offer yet."""
        status = health_pb2.HealthCheckResponse
        await self._health.set("", status.SERVING if serving else status.NOT_SERVING)

    async def drain(self, grace_seconds: float) -> None:
        """Tells health checks, takes no new calls, and lets those in hand end within `grace_seconds`."""
        await self._health.enter_graceful_shutdown()
        await self.server.stop(grace_seconds)

    async def wait(self) -> None:
        await self.server.wait_for_termination()


def build_server(
    servicers: Sequence[Registration],
    authenticator: Authenticator,
    *,
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
    max_concurrent_calls: int | None = None,
    policies: Mapping[str, Policy] = POLICIES,
    observe: Observe | None = None,
) -> RpcServer:
    """A grpc.aio server with the servicers, health and reflection. Call it within the running event loop."""
    server = grpc.aio.server(options=_options(max_message_bytes), maximum_concurrent_rpcs=max_concurrent_calls)
    found = _Registrar()
    for add, servicer in servicers:
        add(servicer, found)
    methods: list[str] = []
    for service, handlers in found.services.items():
        guarded = {}
        for name, handler in handlers.items():
            method = f"/{service}/{name}"
            methods.append(method)
            guarded[name] = _Guard(method, policies.get(method), authenticator, observe).wrap(handler)
        # Not also as registered methods: grpc.aio then keeps a task for each of them, and waits on all at every call.
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, guarded),))
    health = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    names = (*found.services, "grpc.health.v1.Health", REFLECTION)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(ReflectionServicer(names), server)  # type: ignore[no-untyped-call]
    return RpcServer(server, health, methods)


class _Registrar:
    """Stands in for a server while the generated functions run, and keeps what they register."""

    def __init__(self) -> None:
        self.services: dict[str, dict[str, Any]] = {}

    def add_generic_rpc_handlers(self, handlers: object) -> None:
        """The same handlers come again, by service, below."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, Any]) -> None:
        self.services[service] = handlers


class _Guard:
    """What stands before one method."""

    def __init__(
        self, method: str, policy: Policy | None, authenticator: Authenticator, observe: Observe | None
    ) -> None:
        self._method = method
        self._policy = policy
        self._authenticator = authenticator
        self._observe = observe

    def wrap(self, handler: Any) -> Any:
        """The same method with the guard around it; requests stay bytes until the caller was let in."""
        if handler.request_streaming:
            kind = "stream_stream" if handler.response_streaming else "stream_unary"
        else:
            kind = "unary_stream" if handler.response_streaming else "unary_unary"
        behaviour = getattr(handler, kind)
        parse = _parser(self._method, handler.request_deserializer)
        take = _each(parse) if handler.request_streaming else parse
        fits = inspect.isasyncgenfunction if handler.response_streaming else inspect.iscoroutinefunction
        if not fits(behaviour):
            # A method of the contract that this server has not overridden.
            behaviour = _unimplemented_stream if handler.response_streaming else _unimplemented
        guard = self._streaming(behaviour, take) if handler.response_streaming else self._single(behaviour, take)
        make = getattr(grpc, f"{kind}_rpc_method_handler")
        return make(guard, None, handler.response_serializer)

    def _single(self, behaviour: Callable[..., Any], take: Callable[[Any], Any]) -> Callable[..., Any]:
        async def call(raw: Any, context: Any) -> Any:
            started = time.perf_counter() if self._observe else 0.0
            code = "ok"
            try:
                await self._admit(context)
                return await behaviour(take(raw), context)
            except Exception as error:  # noqa: BLE001 - told to the caller, whatever it is
                code = error.code.value if isinstance(error, LeptonError) else ErrorCode.INTERNAL.value
                await self._fail(error, context)
            finally:
                if self._observe:
                    self._observe(self._method, code, time.perf_counter() - started)

        return call

    def _streaming(self, behaviour: Callable[..., Any], take: Callable[[Any], Any]) -> Callable[..., Any]:
        async def call(raw: Any, context: Any) -> AsyncIterator[Any]:
            started = time.perf_counter() if self._observe else 0.0
            code = "ok"
            try:
                await self._admit(context)
                async for answer in behaviour(take(raw), context):
                    yield answer
            except Exception as error:  # noqa: BLE001 - told to the caller, whatever it is
                code = error.code.value if isinstance(error, LeptonError) else ErrorCode.INTERNAL.value
                await self._fail(error, context)
            finally:
                if self._observe:
                    self._observe(self._method, code, time.perf_counter() - started)

        return call

    async def _admit(self, context: Any) -> None:
        authorization = acting = request_id = ""
        for key, value in context.invocation_metadata():
            if key == "authorization":
                authorization = value
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
        told = public_error(error, self._method)
        if told is error and log.isEnabledFor(logging.DEBUG):
            log.debug("%s refused: %s %s", self._method, told.code, told.detail)
        metadata = error_metadata(told, current_request_id())
        await context.abort(status_of(told), told.detail[:MAX_STATUS_CHARS], metadata)
        raise AssertionError("abort() always raises")


def _parser(method: str, deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def parse(raw: bytes) -> Any:
        try:
            return deserialize(raw)
        except DecodeError:
            raise LeptonError(ErrorCode.INVALID, f"the request of {method} is not a message of its type") from None

    return parse


def _each(parse: Callable[[bytes], Any]) -> Callable[[AsyncIterator[bytes]], AsyncIterator[Any]]:
    async def messages(raw: AsyncIterator[bytes]) -> AsyncIterator[Any]:
        async for each in raw:
            yield parse(each)

    return messages


async def _unimplemented(_request: object, _context: object) -> None:
    raise LeptonError(ErrorCode.UNIMPLEMENTED, "this server does not offer the method")


async def _unimplemented_stream(request: object, context: object) -> AsyncIterator[None]:
    await _unimplemented(request, context)
    yield None


def _options(max_message_bytes: int) -> list[tuple[str, Any]]:
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        # Two processes on one port would share the calls between them without a word.
        ("grpc.so_reuseport", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ]
