"""Who is let in to a gRPC server, in which order that is decided, and for whom a service acts."""

import asyncio
import subprocess
import sys
from typing import Any

import grpc
import pytest

from core.tests.grpc_service import ALICE, get, refusal, serving
from core.tests.known_key import GATEWAY, KEY, KEY_ID
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.grpc.client import open_channel
from lepton_core.identity import (
    Principal,
    PrincipalKind,
    Role,
    set_principal,
)
from lepton_fixtures.processes import most_memory
from lepton_proto.v1 import jobs_pb2, jobs_pb2_grpc, runs_pb2, runs_pb2_grpc


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


async def test_of_two_credentials_neither_counts() -> None:
    async with serving() as (_, address, _jobs):
        with pytest.raises(LeptonError) as caught:
            await get(address, KEY, metadata=[("authorization", f"Bearer {KEY}")])
    assert caught.value.code is ErrorCode.UNAUTHENTICATED


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
