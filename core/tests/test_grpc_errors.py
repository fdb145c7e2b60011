"""Which errors come back from a gRPC server, over calls and streams."""

import asyncio
import logging

import grpc
import pytest

from core.tests.grpc_service import get, refusal, serving
from core.tests.known_key import KEY
from lepton_core.errors import ERROR_TABLE, ErrorCode, FieldError, LeptonError
from lepton_core.grpc.client import Channel, open_channel, open_sync_channel
from lepton_proto.v1 import jobs_pb2, jobs_pb2_grpc


@pytest.mark.parametrize("code", list(ErrorCode))
async def test_every_error_comes_back_exactly(code: ErrorCode) -> None:
    fields = [FieldError("a[0].b", "wrong", '"x"', "y or z", ("a", "0", "b"))]
    sent = LeptonError(code, "näher ☂ beschrieben", fields, retry_after_seconds=1.5)
    async with serving() as (_, address, jobs):
        jobs.asked = [sent, sent]
        error = await refusal(address, KEY, metadata=[("x-request-id", "abc")])
        with pytest.raises(LeptonError) as caught:
            await asyncio.to_thread(sync_get, address)
    for got in (error, caught.value):
        assert (got.code, got.detail, got.fields, got.retry_after_seconds) == (
            sent.code,
            sent.message,
            sent.fields,
            1.5,
        )
    assert error.request_id == "abc"


def sync_get(address: str) -> None:
    with open_sync_channel(address, KEY) as channel:
        jobs_pb2_grpc.JobServiceStub(channel).Get(jobs_pb2.GetRequest(id="run_x"))


@pytest.mark.parametrize("code", list(ErrorCode))
async def test_a_foreign_client_sees_the_status_of_the_table(code: ErrorCode) -> None:
    async with serving() as (_, address, jobs), grpc.aio.insecure_channel(address) as channel:
        jobs.asked = [LeptonError(code, "why", [FieldError("f", "m", "v", "all")])]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await jobs_pb2_grpc.JobServiceStub(channel).Get(
                jobs_pb2.GetRequest(), metadata=[("authorization", f"Bearer {KEY}")]
            )
    assert caught.value.code().name == ERROR_TABLE[code].grpc_status
    assert caught.value.details() == "why; allowed: all"


async def test_an_error_with_far_too_many_fields_still_arrives() -> None:
    async with serving() as (_, address, jobs):
        jobs.asked = [LeptonError(ErrorCode.INVALID, "x" * 9000, [FieldError(f"f{i}", "m" * 900) for i in range(99)])]
        error = await refusal(address, KEY)
    assert error.code is ErrorCode.INVALID
    assert error.fields[0].field == "f0"


async def test_an_unexpected_fault_tells_nothing_but_its_request(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        async with serving() as (_, address, _jobs):
            error = await refusal(address, KEY, run_id="crash", metadata=[("x-request-id", "r-77")])
    assert error.code is ErrorCode.INTERNAL
    assert "r-77" in error.detail
    assert "hunter2" not in error.detail
    assert "hunter2" in caplog.text


async def test_a_method_that_is_not_offered() -> None:
    async with serving() as (_, address, _jobs), open_channel(address, KEY) as channel:
        with pytest.raises(LeptonError) as caught:
            await jobs_pb2_grpc.JobServiceStub(channel).Cancel(jobs_pb2.CancelRequest(id="x"))
    assert caught.value.code is ErrorCode.UNIMPLEMENTED


async def test_a_method_that_the_contract_does_not_have_is_named_in_the_answer() -> None:
    async with serving() as (_, address, _jobs), open_channel(address, KEY) as channel:
        for service, words in (("lepton.v1.JobService", "its methods: "), ("other.Service", "does not offer /other")):
            with pytest.raises(LeptonError) as caught:
                await channel.unary_unary(f"/{service}/Fly", lambda raw: raw, lambda raw: raw)(b"")
            assert caught.value.code is ErrorCode.UNIMPLEMENTED
            assert f"/{service}/Fly" in caught.value.detail
            assert words in caught.value.detail


async def test_streams_carry_answers_and_then_the_error() -> None:
    async with serving() as (_, address, _jobs), open_channel(address, KEY) as channel:
        seen: list[int] = []
        with pytest.raises(LeptonError) as caught:
            await watch_into(seen, channel)
        assert await asyncio.to_thread(sync_watch, address) == [0, 1, 2]
    assert seen == [0, 1, 2]
    assert caught.value.code is ErrorCode.STALE_ATTEMPT


async def watch_into(seen: list[int], channel: Channel) -> None:
    async for answer in jobs_pb2_grpc.JobServiceStub(channel).Watch(jobs_pb2.WatchRequest(id="broken")):
        seen.append(answer.run.attempts)  # noqa: PERF401


def sync_watch(address: str) -> list[int]:
    with open_sync_channel(address, KEY) as channel:
        stream = jobs_pb2_grpc.JobServiceStub(channel).Watch(jobs_pb2.WatchRequest(id="fine"))
        return [answer.run.attempts for answer in stream]


async def test_a_message_above_the_limit_is_too_large() -> None:
    async with serving(max_message_bytes=1000) as (_, address, _jobs):
        with pytest.raises(LeptonError) as caught:
            await get(address, KEY, run_id="x" * 2000)
    assert caught.value.code is ErrorCode.TOO_LARGE


async def test_a_dead_server_is_unavailable_and_a_slow_one_times_out() -> None:
    async with serving() as (_, address, _jobs):
        pass
    assert (await refusal(address, KEY, timeout=5)).code is ErrorCode.UNAVAILABLE
    async with serving() as (_, address, _jobs):
        assert (await refusal(address, KEY, run_id="slow", timeout=0.1)).code is ErrorCode.TIMEOUT
