"""JobService: job submission over gRPC, by the same submit() that HTTP calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from lepton_core.api import Run, RunState
from lepton_core.api.limits import MAX_REQUEST_BYTES
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.grpc import conversion
from lepton_core.jobs.spec import JobSpec
from lepton_gateway.registry import Registry
from lepton_gateway.submit import Submitter
from lepton_proto.v1 import jobs_pb2, jobs_pb2_grpc, runs_pb2

DEFAULT_PAGE_SIZE = 50
Context = grpc.aio.ServicerContext[Any, Any]


class JobServicer(jobs_pb2_grpc.JobServiceServicer):
    def __init__(self, registry: Registry, submitter: Submitter) -> None:
        self._registry = registry
        self._submitter = submitter

    async def Submit(self, request: jobs_pb2.SubmitRequest, context: Context) -> jobs_pb2.SubmitResponse:
        if (size := request.ByteSize()) > MAX_REQUEST_BYTES:
            raise LeptonError(ErrorCode.TOO_LARGE, f"the job is {size} bytes; allowed: {MAX_REQUEST_BYTES} bytes")
        body = conversion.set_fields(request.spec, JobSpec)
        submission = await self._submitter.submit(body, request.idempotency_key)
        return jobs_pb2.SubmitResponse(run=_message(submission.run))

    async def Get(self, request: jobs_pb2.GetRequest, context: Context) -> jobs_pb2.GetResponse:
        return jobs_pb2.GetResponse(run=_message(await self._registry.get_run(request.id)))

    async def List(self, request: jobs_pb2.ListRequest, context: Context) -> jobs_pb2.ListResponse:
        state = runs_pb2.RunState.Name(request.state).removeprefix("RUN_STATE_").lower() if request.state else ""
        found = await self._registry.list_runs(
            RunState(state).value if state else "",
            request.page_token,
            request.page_size or DEFAULT_PAGE_SIZE,
            dict(request.labels),
            name=request.name,
            recipe=request.recipe,
            dataset=request.dataset,
            model=request.model,
            id_prefix=request.id_prefix,
        )
        return jobs_pb2.ListResponse(runs=[_message(run) for run in found.items], next_page_token=found.next)

    async def Cancel(self, request: jobs_pb2.CancelRequest, context: Context) -> jobs_pb2.CancelResponse:
        return jobs_pb2.CancelResponse(run=_message(await self._registry.cancel_run(request.id)))

    async def Watch(self, request: jobs_pb2.WatchRequest, context: Context) -> AsyncIterator[jobs_pb2.WatchResponse]:
        async for run in self._registry.watch_run(request.id):
            yield jobs_pb2.WatchResponse(run=_message(run))


def _message(run: Run) -> runs_pb2.Run:
    return conversion.to_proto(run, runs_pb2.Run)
