"""gRPC of runs, for the gateway."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import sqlalchemy as sa

from lepton_core.api.limits import MAX_PAGE_ENTRIES
from lepton_core.causes import WaitingCause
from lepton_core.errors import Cause, ErrorCode, LeptonError, invalid
from lepton_core.grpc.conversion import enum_from_proto
from lepton_core.grpc.errors import cause_message, error_message, public_error
from lepton_core.identity import Principal
from lepton_core.jobs.spec import MAX_LABELS
from lepton_core.request_context import current_request_id
from lepton_proto.v1 import runs_pb2 as pb
from lepton_proto.v1 import runs_pb2_grpc as rpc
from lepton_registry.authentication import caller
from lepton_registry.database.engine import Database
from lepton_registry.database.write_batcher import WriteBatcher
from lepton_registry.events.feed import Feed
from lepton_registry.module import WaitingReason
from lepton_registry.paging import id_token, page_limit
from lepton_registry.rows import from_values, to_message
from lepton_registry.runs import attempts, checkpoints, store, submission
from lepton_registry.runs.states import ENDED, RunState
from lepton_registry.runs.submission import Key, Submission, Values

Context = grpc.aio.ServicerContext[Any, Any]
DEFAULT_PAGE = 50
# Progress causes no event, so streams poll at this interval.
PROGRESS_SECONDS = 1.0
_STATE = pb.RunState.DESCRIPTOR


class RunServicer(rpc.RunServiceServicer):
    def __init__(self, database: Database, feed: Feed, waiting_reason: WaitingReason) -> None:
        self._database = database
        self._feed = feed
        self._waiting_reason = waiting_reason
        self._submissions: WriteBatcher[Submission, tuple[Values, bool]] = WriteBatcher(database, submission.submit_all)

    async def SubmitRuns(self, request: pb.SubmitRunsRequest, context: Context) -> pb.SubmitRunsResponse:
        principal = caller()
        outcomes = await asyncio.gather(*(self._submit(each, principal) for each in request.submissions))
        return pb.SubmitRunsResponse(outcomes=outcomes)

    async def _submit(self, request: pb.Submission, principal: Principal) -> pb.SubmissionOutcome:
        try:
            key = Key(request.key_namespace, request.idempotency_key, request.request_digest)
            job = submission.parse_submission(
                principal.project,
                key,
                request.spec_json,
                request.recipe,
                request.recipe_version,
                principal.id,
                isolated=request.isolated,
            )
            values, created = await self._submissions.write(job)
        except Exception as error:  # noqa: BLE001 - an unexpected fault with one job must not fail the others of the batch
            return pb.SubmissionOutcome(error=error_message(public_error(error, "SubmitRuns"), current_request_id()))
        return pb.SubmissionOutcome(run=from_values(values, pb.Run), created=created)

    async def FindRunByKey(self, request: pb.FindRunByKeyRequest, context: Context) -> pb.FindRunByKeyResponse:
        project = caller().project
        key = Key(request.key_namespace, request.idempotency_key, request.request_digest)
        row = await self._database.read(lambda conn: submission.find_by_key(conn, project, key))
        if row is None:
            raise LeptonError(ErrorCode.NOT_FOUND, f"the idempotency key {key.key!r} is new")
        return pb.FindRunByKeyResponse(run=to_message(row, pb.Run))

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        project = caller().project
        return pb.GetRunResponse(run=await self._database.read(lambda conn: self._run(conn, project, request.id)))

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        project, size = caller().project, page_limit(request.page_size, MAX_PAGE_ENTRIES, DEFAULT_PAGE)
        before = id_token(request.page_token, "run")
        state = enum_from_proto(request.state, _STATE, RunState)
        wanted = RunState(state) if state else None
        labels = dict(request.labels)
        if len(labels) > MAX_LABELS:
            raise invalid("labels", "too many", len(labels), f"at most {MAX_LABELS}, the most that a run has")
        page = await self._database.read(
            lambda conn: store.list_runs(
                conn,
                project,
                state=wanted,
                before=before,
                size=size,
                id_prefix=request.id_prefix,
                labels=labels,
                name=request.name,
                recipe=request.recipe,
                dataset=request.dataset,
                model=request.model,
            )
        )
        runs = [to_message(row, pb.Run) for row in page.rows]
        return pb.ListRunsResponse(runs=runs, next_page_token=page.rows[-1].id if page.more else "")

    async def CancelRun(self, request: pb.CancelRunRequest, context: Context) -> pb.CancelRunResponse:
        principal = caller()
        row = await self._database.write(lambda conn: store.cancel(conn, principal.project, request.id, principal.id))
        return pb.CancelRunResponse(run=to_message(row, pb.Run))

    async def RetryRun(self, request: pb.RetryRunRequest, context: Context) -> pb.RetryRunResponse:
        principal = caller()
        row, created = await self._database.write(
            lambda conn: store.retry(
                conn, principal.project, request.id, request.idempotency_key, principal.id, isolated=request.isolated
            )
        )
        return pb.RetryRunResponse(run=to_message(row, pb.Run), created=created)

    async def ListAttempts(self, request: pb.ListAttemptsRequest, context: Context) -> pb.ListAttemptsResponse:
        project = caller().project

        def read(conn: sa.Connection) -> list[pb.Attempt]:
            store.get(conn, project, request.run_id)
            return [to_message(row, pb.Attempt) for row in attempts.list_of_run(conn, project, request.run_id)]

        return pb.ListAttemptsResponse(attempts=await self._database.read(read))

    async def ListCheckpoints(self, request: pb.ListCheckpointsRequest, context: Context) -> pb.ListCheckpointsResponse:
        project = caller().project

        def read(conn: sa.Connection) -> list[pb.Checkpoint]:
            store.get(conn, project, request.run_id)
            return [to_message(row, pb.Checkpoint) for row in checkpoints.list_of_run(conn, project, request.run_id)]

        return pb.ListCheckpointsResponse(checkpoints=await self._database.read(read))

    async def WatchRun(self, request: pb.WatchRunRequest, context: Context) -> AsyncIterator[pb.WatchRunResponse]:
        project, last = caller().project, pb.Run()
        with self._feed.watch(request.id) as watch:
            while True:
                run = await self._database.read(lambda conn: self._run(conn, project, request.id))
                if last != run:
                    last = run
                    yield pb.WatchRunResponse(run=run)
                if enum_from_proto(run.state, _STATE, RunState) in ENDED:
                    return
                await watch.wait(PROGRESS_SECONDS)

    def _run(self, conn: sa.Connection, project: str, run_id: str) -> pb.Run:
        row = store.get(conn, project, run_id)
        cause = self._waiting_reason(conn, row)
        if cause is None:
            return to_message(row, pb.Run)
        return to_message(row, pb.Run, reason=_reason(row, cause), waiting_reason=cause_message(cause))


def _reason(run: sa.Row[Any], cause: Cause) -> str:
    """Text about a queued run: why no worker can take it, and why it is queued again."""
    if cause.code == WaitingCause.QUEUED:
        return str(run.reason)
    return f"{cause.message} (before: {run.reason})" if run.reason else cause.message
