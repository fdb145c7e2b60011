"""gRPC channels that add the token, the acting principal and a deadline to every call, and raise LeptonErrors.

They wrap gRPC's own channels. Interceptors are not used: they cost a task for each call, and support neither our errors
nor default deadlines. There is one channel for asyncio and one for threads: they share `_Stubs`, and differ in each
`await`.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Self

import grpc

from lepton_core.api.limits import DEFAULT_MESSAGE_BYTES
from lepton_core.grpc.errors import error_from_call
from lepton_core.identity.authenticators import ACTING_KEY
from lepton_core.identity.principals import Principal, encode_acting, principal_or_none
from lepton_core.request_context import REQUEST_ID_HEADER, request_id_or_none

DEFAULT_TIMEOUT_SECONDS = 30.0

# Who the call is for; the current principal unless something else is given.
Acting = Callable[[], Principal | None]
type_metadata = list[tuple[str, str | bytes]]


def nobody() -> Principal | None:
    """For callers that act for no other principal: workers and attempts."""
    return None


class _Stamp:
    """The metadata of a call."""

    def __init__(self, token: str, acting: Acting) -> None:
        self._fixed: type_metadata = [("authorization", f"Bearer {token}")] if token else []
        self._acting = acting
        self._encoded: dict[Principal, str] = {}

    def __call__(self, given: Any) -> type_metadata:
        metadata = [*self._fixed, *given] if given else list(self._fixed)
        principal = self._acting()
        if principal is not None:
            metadata.append((ACTING_KEY, self._encode(principal)))
        request_id = request_id_or_none()
        if request_id is not None:
            metadata.append((REQUEST_ID_HEADER, request_id))
        return metadata

    def _encode(self, principal: Principal) -> str:
        found = self._encoded.get(principal)
        if found is None:
            if len(self._encoded) >= 1000:
                self._encoded.clear()
            found = self._encoded[principal] = encode_acting(principal)
        return found


class _Stubs:
    """The interface that generated stubs need, with and without asyncio: a callable for each kind of method."""

    def __init__(self, channel: Any, stamp: _Stamp, timeout_seconds: float) -> None:
        self._channel = channel
        self._stamp = stamp
        self._timeout_seconds = timeout_seconds

    def unary_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._single(self._channel.unary_unary(*args, **kwargs))

    def stream_unary(self, *args: Any, **kwargs: Any) -> Any:
        return self._single(self._channel.stream_unary(*args, **kwargs))

    def unary_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._streaming(self._channel.unary_stream(*args, **kwargs))

    def stream_stream(self, *args: Any, **kwargs: Any) -> Any:
        return self._streaming(self._channel.stream_stream(*args, **kwargs))

    def _single(self, inner: Any) -> Any:
        """`inner`, which gives one answer, with metadata, a deadline and LeptonErrors."""
        raise NotImplementedError

    def _streaming(self, inner: Any) -> Any:
        """The same for a stream of answers, which has no deadline."""
        raise NotImplementedError


class Channel(_Stubs, grpc.aio.Channel):
    """A grpc.aio channel for generated stubs. Unary calls have a deadline unless they name one; streams have none."""

    _channel: grpc.aio.Channel

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self, grace: float | None = None) -> None:
        await self._channel.close(grace)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._channel.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._channel.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._channel.channel_ready()

    def _single(self, inner: Any) -> Any:
        stamp, seconds = self._stamp, self._timeout_seconds

        async def call(request: Any = None, *, metadata: Any = None, **options: Any) -> Any:
            options.setdefault("timeout", seconds)
            try:
                return await inner(request, metadata=stamp(metadata), **options)
            except grpc.RpcError as error:
                raise error_from_call(error) from None

        return call

    def _streaming(self, inner: Any) -> Any:
        stamp = self._stamp

        async def answers(request: Any = None, *, metadata: Any = None, **options: Any) -> AsyncIterator[Any]:
            call = inner(request, metadata=stamp(metadata), **options)
            try:
                async for answer in call:
                    yield answer
            except grpc.RpcError as error:
                raise error_from_call(error) from None
            finally:
                call.cancel()

        return answers


class SyncChannel(_Stubs, grpc.Channel):
    """The same for threads."""

    _channel: grpc.Channel

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def subscribe(self, callback: Any, try_to_connect: bool | None = False) -> None:
        self._channel.subscribe(callback, bool(try_to_connect))

    def unsubscribe(self, callback: Any) -> None:
        self._channel.unsubscribe(callback)

    def _single(self, inner: Any) -> Any:
        stamp, seconds = self._stamp, self._timeout_seconds

        def call(request: Any, *, metadata: Any = None, **options: Any) -> Any:
            options.setdefault("timeout", seconds)
            try:
                return inner(request, metadata=stamp(metadata), **options)
            except grpc.RpcError as error:
                raise error_from_call(error) from None

        return call

    def _streaming(self, inner: Any) -> Any:
        stamp = self._stamp

        def answers(request: Any, *, metadata: Any = None, **options: Any) -> Iterator[Any]:
            call = inner(request, metadata=stamp(metadata), **options)
            try:
                yield from call
            except grpc.RpcError as error:
                raise error_from_call(error) from None
            finally:
                call.cancel()

        return answers


def open_channel(
    address: str,
    token: str = "",
    *,
    acting: Acting = principal_or_none,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    max_message_bytes: int = DEFAULT_MESSAGE_BYTES,
) -> Channel:
    """For services: a call made while serving a request acts for the caller of that request."""
    channel = grpc.aio.insecure_channel(address, options=_options(max_message_bytes))
    return Channel(channel, _Stamp(token, acting), timeout_seconds)


def open_sync_channel(
    address: str,
    token: str = "",
    *,
    acting: Acting = nobody,
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
    max_message_bytes: int = DEFAULT_MESSAGE_BYTES,
) -> SyncChannel:
    channel = grpc.insecure_channel(address, options=_options(max_message_bytes))
    return SyncChannel(channel, _Stamp(token, acting), timeout_seconds)


def _options(max_message_bytes: int) -> list[tuple[str, Any]]:
    return [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.enable_http_proxy", 0),
        # gRPC's own backoff grows to two minutes: far longer than a registry's restart.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 500),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.keepalive_time_ms", 15_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.max_pings_without_data", 0),
    ]
