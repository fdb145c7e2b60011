"""A gRPC server: health, reflection, its port, and what is observed of its calls."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from core.tests.grpc_service import get, refusal, serving
from core.tests.known_key import KEY
from lepton_core.errors import LeptonError, invalid
from lepton_core.grpc.server import PUBLIC_READS, build_server
from lepton_core.identity import (
    TokenAuthenticator,
)


async def test_health_and_reflection_are_public() -> None:
    async with serving() as (server, address, _jobs), grpc.aio.insecure_channel(address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        check = health_pb2.HealthCheckRequest(service="lepton.v1.JobService")
        assert (await health.Check(check)).status == health_pb2.HealthCheckResponse.SERVING
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type]
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = [answer async for answer in reflection.ServerReflectionInfo(iter([ask]))]
        names = {service.name for service in answers[0].list_services_response.service}
        assert {"lepton.v1.JobService", "lepton.v1.RunService", "grpc.health.v1.Health"} <= names
        assert "/lepton.v1.JobService/Get" in server.methods


async def test_two_servers_do_not_share_a_port() -> None:
    async with serving() as (_, address, _jobs):
        other = build_server([], TokenAuthenticator())
        with pytest.raises(LeptonError, match="cannot listen"):
            other.bind(address)


async def test_what_was_observed() -> None:
    seen: list[tuple[str, str]] = []
    async with serving(observe=lambda method, code, _seconds: seen.append((method, code))) as (_, address, jobs):
        await get(address, KEY)
        jobs.asked = [invalid("id", "no")]
        await refusal(address, KEY)
        # Told after the answer has left, which the client may see first.
        async with asyncio.timeout(10):
            while len(seen) < 2:  # noqa: ASYNC110 - the callback knows no event
                await asyncio.sleep(0.01)
    assert seen == [("/lepton.v1.JobService/Get", "ok"), ("/lepton.v1.JobService/Get", "invalid")]


@pytest.mark.parametrize(
    "method", ["/grpc.health.v1.Health/Check", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"]
)
async def test_a_malformed_call_of_a_public_method_is_invalid_and_not_logged(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"\xff\xff not protobuf"

    async with serving() as (_, address, _jobs), grpc.aio.insecure_channel(address) as channel:
        call: Any = channel.stream_stream(method)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            async for _answer in call(broken()):
                pass
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caplog.records == []


async def test_who_never_sends_a_health_checks_request_does_not_keep_others_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lepton_core.grpc.server.PUBLIC_READ_SECONDS", 0.2)
    async with serving() as (_, address, _jobs), grpc.aio.insecure_channel(address) as channel:
        silent: Any = channel.stream_stream("/grpc.health.v1.Health/Check")
        calls = [silent(silence()) for _ in range(PUBLIC_READS + 2)]
        stub = health_pb2_grpc.HealthStub(channel)
        async with asyncio.timeout(10):
            answer = await stub.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        assert await calls[0].code() is grpc.StatusCode.DEADLINE_EXCEEDED
        for each in calls:
            each.cancel()


async def silence() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def test_health_can_be_watched() -> None:
    async with serving() as (server, address, _jobs), grpc.aio.insecure_channel(address) as channel:
        seen = []
        async for answer in health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest()):
            seen.append(answer.status)
            if len(seen) == 2:
                break
            await server.set_serving(False)
    assert seen == [health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING]
