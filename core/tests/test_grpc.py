"""Server and client over a real socket: who is let in, in which order, and which errors come back."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from lepton_core.errors import ERROR_TABLE, ErrorCode, FieldError, LeptonError, invalid
from lepton_core.grpc.client import Channel, open_channel, open_sync_channel
from lepton_core.grpc.server import PUBLIC_READS, Registration, RpcServer, build_server
from lepton_core.identity import (
    Principal,
    PrincipalKind,
    Role,
    TokenAuthenticator,
    current_principal,
    new_api_key,
    new_service_token,
    set_principal,
    token_sha256,
)
from lepton_core.ids import new_id
from lepton_core.request_context import current_request_id
from lepton_fixtures.processes import most_memory
from lepton_proto.v1 import jobs_pb2, jobs_pb2_grpc, runs_pb2, runs_pb2_grpc

KEY_ID = new_id("key")
KEY = new_api_key(KEY_ID)
GATEWAY = new_service_token("gateway")
ALICE = Principal(PrincipalKind.KEY, KEY_ID, project="prj_a", role=Role.EDITOR)


class Jobs(jobs_pb2_grpc.JobServiceServicer):
    """Get raises what the id names; the rest shows what a handler sees."""

    def __init__(self) -> None:
        self.asked: list[LeptonError] = []

    async def Get(self, request: jobs_pb2.GetRequest, _context: Any) -> jobs_pb2.GetResponse:  # noqa: N802
        if request.id == "crash":
            raise RuntimeError("password=hunter2")
        if request.id == "slow":
            await asyncio.Event().wait()
        if self.asked:
            raise self.asked.pop()
        caller = current_principal()
        run = runs_pb2.Run(id=request.id, project=caller.project, created_by=caller.id, reason=current_request_id())
        return jobs_pb2.GetResponse(run=run)

    async def Watch(self, request: jobs_pb2.WatchRequest, _context: Any) -> AsyncIterator[jobs_pb2.WatchResponse]:  # noqa: N802
        for number in range(3):
            yield jobs_pb2.WatchResponse(run=runs_pb2.Run(id=request.id, attempts=number))
        if request.id == "broken":
            raise LeptonError(ErrorCode.STALE_ATTEMPT, "gone")


class Runs(runs_pb2_grpc.RunServiceServicer):
    async def GetRun(self, request: runs_pb2.GetRunRequest, _context: Any) -> runs_pb2.GetRunResponse:  # noqa: N802
        caller = current_principal()
        told = f"{caller.kind} {caller.service} {caller.id} {caller.role}"
        return runs_pb2.GetRunResponse(run=runs_pb2.Run(project=caller.project, reason=told))


async def verify(key_id: str, sha256: str) -> Principal:
    if key_id == KEY_ID and sha256 == token_sha256(KEY):
        return ALICE
    raise LeptonError(ErrorCode.UNAUTHENTICATED, "no such key")


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[RpcServer, str, Jobs]]:
    jobs = Jobs()  # type: ignore[abstract]
    servicers: list[Registration] = [
        (jobs_pb2_grpc.add_JobServiceServicer_to_server, jobs),
        (runs_pb2_grpc.add_RunServiceServicer_to_server, Runs()),  # type: ignore[abstract]
    ]
    authenticator = TokenAuthenticator(service_tokens={"gateway": GATEWAY}, verify_key=verify)
    server = build_server(servicers, authenticator, **options)
    port = server.bind("127.0.0.1:0")
    await server.start()
    try:
        yield server, f"127.0.0.1:{port}", jobs
    finally:
        await server.drain(0.0)


async def get(address: str, token: str, run_id: str = "run_x", **options: Any) -> jobs_pb2.GetResponse:
    async with open_channel(address, token) as channel:
        answer: jobs_pb2.GetResponse = await jobs_pb2_grpc.JobServiceStub(channel).Get(
            jobs_pb2.GetRequest(id=run_id), **options
        )
        return answer


async def refusal(address: str, token: str, **options: Any) -> LeptonError:
    with pytest.raises(LeptonError) as caught:
        await get(address, token, **options)
    return caught.value


async def test_a_key_is_let_in_and_the_handler_knows_it() -> None:
    async with serving() as (_, address, _jobs):
        run = (await get(address, KEY, metadata=[("x-request-id", "abc-1")])).run
    assert (run.project, run.created_by, run.reason) == ("prj_a", KEY_ID, "abc-1")


@pytest.mark.parametrize(
    "token",
    ["", "lpk_x_y", KEY[:-1] + ("0" if KEY[-1] != "0" else "1"), "lps_gateway_" + "0" * 64],
    ids=["none", "malformed", "another secret", "another service"],
)
async def test_bad_credentials_get_the_same_answer(token: str) -> None:
    async with serving() as (_, address, _jobs):
        error = await refusal(address, token)
    assert error.code is ErrorCode.UNAUTHENTICATED
    assert error.detail == "the credentials are missing, not known, revoked or expired"


async def test_a_service_is_not_let_through_a_door_for_keys() -> None:
    async with serving() as (_, address, _jobs):
        assert (await refusal(address, GATEWAY)).code is ErrorCode.PERMISSION_DENIED


async def test_a_method_without_a_row_is_refused() -> None:
    async with serving(policies={}) as (_, address, _jobs):
        error = await refusal(address, KEY)
    assert error.code is ErrorCode.PERMISSION_DENIED
    assert "no row in the policy table" in error.detail


async def test_authentication_comes_before_parsing() -> None:
    async with serving() as (_, address, _jobs):
        for token, code in (("", "UNAUTHENTICATED"), (KEY, "INVALID_ARGUMENT")):
            async with grpc.aio.insecure_channel(address) as channel:
                call: Any = channel.unary_unary("/lepton.v1.JobService/Get")
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call(b"\xff\xff not protobuf", metadata=[("authorization", f"Bearer {token}")])
                assert caught.value.code().name == code


@pytest.mark.parametrize("code", list(ErrorCode))
async def test_every_error_comes_back_exactly(code: ErrorCode) -> None:
    sent = LeptonError(
        code, "näher ☂ beschrieben", [FieldError("a.b", "wrong", '"x"', "y or z")], retry_after_seconds=1.5
    )
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


async def test_a_service_acts_for_the_caller_of_the_request_in_hand() -> None:
    async with serving() as (_, address, _jobs), open_channel(address, GATEWAY) as channel:
        stub = runs_pb2_grpc.RunServiceStub(channel)
        with pytest.raises(LeptonError) as caught:
            await stub.GetRun(runs_pb2.GetRunRequest(id="x"))
        assert caught.value.code is ErrorCode.PERMISSION_DENIED  # for nobody: no role
        set_principal(ALICE)
        run = (await stub.GetRun(runs_pb2.GetRunRequest(id="x"))).run
    assert run.project == "prj_a"
    assert run.reason == f"service gateway {KEY_ID} editor"


async def test_a_key_cannot_act_for_somebody_else() -> None:
    mallory = Principal(PrincipalKind.KEY, "key_m", project="prj_other", role=Role.OPERATOR)
    async with serving() as (_, address, _jobs), open_channel(address, KEY, acting=lambda: mallory) as channel:
        run = (await jobs_pb2_grpc.JobServiceStub(channel).Get(jobs_pb2.GetRequest(id="x"))).run
    assert (run.project, run.created_by) == ("prj_a", KEY_ID)


@pytest.mark.parametrize(
    "value", ["", "%%%", "eyJ", "W10=", "x" * 2000, "eyJpZCI6MSwicHJvamVjdCI6MSwicm9sZSI6ImdvZCJ9"]
)
async def test_an_unreadable_acting_principal_is_refused(value: str) -> None:
    async with serving() as (_, address, _jobs), open_channel(address, GATEWAY) as channel:
        with pytest.raises(LeptonError) as caught:
            await runs_pb2_grpc.RunServiceStub(channel).GetRun(
                runs_pb2.GetRunRequest(id="x"), metadata=[("x-lepton-acting", value)]
            )
    assert caught.value.code in (ErrorCode.UNAUTHENTICATED, ErrorCode.PERMISSION_DENIED)


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


async def test_a_strangers_message_is_not_received() -> None:
    """In a process of its own, whose memory is the server's alone."""
    program = [sys.executable, "-c", SERVER]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as server:  # noqa: ASYNC220 - starts at once
        try:
            assert server.stdout is not None
            address = f"127.0.0.1:{await asyncio.to_thread(server.stdout.readline)}".strip()
            before = most_memory(server.pid)
            await asyncio.gather(*(refused_megabytes(address) for _ in range(8)))
            assert most_memory(server.pid) - before < 100 * 1024 * 1024
        finally:
            server.kill()


SERVER = """
import asyncio
from lepton_core.grpc.server import build_server
from lepton_core.identity import TokenAuthenticator
from lepton_proto.v1 import jobs_pb2_grpc

async def main():
    servicer = jobs_pb2_grpc.JobServiceServicer
    server = build_server([(jobs_pb2_grpc.add_JobServiceServicer_to_server, servicer())], TokenAuthenticator())
    print(server.bind("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait()

asyncio.run(main())
"""


async def refused_megabytes(address: str) -> None:
    options = [("grpc.max_send_message_length", -1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        call: Any = channel.unary_unary("/lepton.v1.JobService/Submit")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"\n" + b"x" * (31 * 1024 * 1024))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


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
