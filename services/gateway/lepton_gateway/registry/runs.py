"""Runs, with their attempts, checkpoints, metrics, logs and events."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import grpc.aio

from lepton_core.api import Attempt, Checkpoint, Event, LogChunk, MetricPoint, Run
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.grpc import conversion
from lepton_core.grpc.errors import error_of
from lepton_gateway.registry.call_batcher import CallBatcher
from lepton_gateway.registry.channel import Page, models, page
from lepton_proto.v1 import (
    events_pb2,
    events_pb2_grpc,
    logs_pb2,
    logs_pb2_grpc,
    metrics_pb2,
    metrics_pb2_grpc,
    runs_pb2,
    runs_pb2_grpc,
)


@dataclass(frozen=True, slots=True)
class Tail:
    """Points or log chunks after a cursor; `end` is true if there will be no more."""

    items: list[MetricPoint] | list[LogChunk]
    cursor: str
    end: bool


class RunCalls:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._runs = runs_pb2_grpc.RunServiceStub(channel)
        self._submissions = CallBatcher(self._submit_runs)
        self._metrics = metrics_pb2_grpc.MetricServiceStub(channel)
        self._logs = logs_pb2_grpc.LogServiceStub(channel)
        self._events = events_pb2_grpc.EventServiceStub(channel)

    async def submit_run(
        self,
        *,
        spec_json: str,
        key_namespace: str,
        idempotency_key: str,
        request_digest: str,
        recipe: str,
        recipe_version: str,
        isolated: bool,
    ) -> tuple[Run, bool]:
        """The run, and whether this call made it."""
        outcome = await self._submissions.call(
            runs_pb2.Submission(
                spec_json=spec_json,
                key_namespace=key_namespace,
                idempotency_key=idempotency_key,
                request_digest=request_digest,
                recipe=recipe,
                recipe_version=recipe_version,
                isolated=isolated,
            )
        )
        if outcome.HasField("error"):
            raise error_of(outcome.error)
        return conversion.from_proto(outcome.run, Run), outcome.created

    async def _submit_runs(self, submissions: Sequence[runs_pb2.Submission]) -> Sequence[runs_pb2.SubmissionOutcome]:
        return (await self._runs.SubmitRuns(runs_pb2.SubmitRunsRequest(submissions=submissions))).outcomes

    async def find_run_by_key(self, namespace: str, key: str, digest: str) -> Run | None:
        request = runs_pb2.FindRunByKeyRequest(key_namespace=namespace, idempotency_key=key, request_digest=digest)
        try:
            answer = await self._runs.FindRunByKey(request)
        except LeptonError as error:
            if error.code is ErrorCode.NOT_FOUND:
                return None
            raise
        return conversion.from_proto(answer.run, Run)

    async def get_run(self, id: str) -> Run:
        return conversion.from_proto((await self._runs.GetRun(runs_pb2.GetRunRequest(id=id))).run, Run)

    async def list_runs(
        self, state: str, page_token: str, page_size: int, labels: Mapping[str, str], **filters: str
    ) -> Page[Run]:
        """Runs that have all of `labels`. `filters`: name, recipe, dataset, model, id_prefix; empty for any."""
        wanted = f"RUN_STATE_{state.upper()}" if state else None
        answer = await self._runs.ListRuns(
            runs_pb2.ListRunsRequest(state=wanted, page_token=page_token, page_size=page_size, labels=labels, **filters)
        )
        return page(answer.runs, Run, answer.next_page_token)

    async def cancel_run(self, id: str) -> Run:
        return conversion.from_proto((await self._runs.CancelRun(runs_pb2.CancelRunRequest(id=id))).run, Run)

    async def retry_run(self, id: str, key: str, *, isolated: bool) -> tuple[Run, bool]:
        answer = await self._runs.RetryRun(runs_pb2.RetryRunRequest(id=id, idempotency_key=key, isolated=isolated))
        return conversion.from_proto(answer.run, Run), answer.created

    async def list_attempts(self, run_id: str) -> list[Attempt]:
        answer = await self._runs.ListAttempts(runs_pb2.ListAttemptsRequest(run_id=run_id))
        return models(answer.attempts, Attempt)

    async def list_checkpoints(self, run_id: str) -> list[Checkpoint]:
        answer = await self._runs.ListCheckpoints(runs_pb2.ListCheckpointsRequest(run_id=run_id))
        return models(answer.checkpoints, Checkpoint)

    async def watch_run(self, id: str) -> AsyncIterator[Run]:
        async for answer in self._runs.WatchRun(runs_pb2.WatchRunRequest(id=id)):
            yield conversion.from_proto(answer.run, Run)

    async def query_metrics(self, run_id: str, keys: Sequence[str], cursor: str, limit: int) -> Tail:
        answer = await self._metrics.QueryMetrics(
            metrics_pb2.QueryMetricsRequest(run_id=run_id, keys=keys, cursor=cursor, limit=limit)
        )
        return Tail(models(answer.points, MetricPoint), answer.next_cursor, answer.end)

    async def read_log(self, run_id: str, stream: str, cursor: str, limit: int) -> Tail:
        answer = await self._logs.ReadLog(
            logs_pb2.ReadLogRequest(run_id=run_id, stream=stream, cursor=cursor, limit=limit)
        )
        return Tail(models(answer.chunks, LogChunk), answer.next_cursor, answer.end)

    async def list_events(self, after: int, limit: int, subject: str) -> tuple[list[Event], int]:
        """Returns the events after a position, and the position to continue from."""
        answer = await self._events.ListEvents(events_pb2.ListEventsRequest(after=after, limit=limit, subject=subject))
        return models(answer.events, Event), answer.last_position

    async def watch_events(self, after: int, subject: str) -> AsyncIterator[list[Event]]:
        async for answer in self._events.WatchEvents(events_pb2.WatchEventsRequest(after=after, subject=subject)):
            yield models(answer.events, Event)
