"""A gRPC server with two servicers on a real socket, and calls to it: the tests of `lepton_core.grpc` share them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from core.tests.known_key import KEY_ID, authenticator_for
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.grpc.client import open_channel
from lepton_core.grpc.server import Registration, RpcServer, build_server
from lepton_core.identity import (
    Principal,
    PrincipalKind,
    Role,
    current_principal,
)
from lepton_core.request_context import current_request_id
from lepton_proto.v1 import jobs_pb2, jobs_pb2_grpc, runs_pb2, runs_pb2_grpc

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


@asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[tuple[RpcServer, str, Jobs]]:
    jobs = Jobs()  # type: ignore[abstract]
    servicers: list[Registration] = [
        (jobs_pb2_grpc.add_JobServiceServicer_to_server, jobs),
        (runs_pb2_grpc.add_RunServiceServicer_to_server, Runs()),  # type: ignore[abstract]
    ]
    authenticator = authenticator_for(ALICE)
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
