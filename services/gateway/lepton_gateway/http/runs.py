"""Runs, with their attempts, checkpoints, metrics and logs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from lepton_core import api
from lepton_core.api.limits import MAX_LOG_CHUNKS, MAX_METRIC_POINTS, MAX_PAGE_ENTRIES
from lepton_gateway.http.jobs import IDEMPOTENCY_KEY
from lepton_gateway.registry import Registry
from lepton_gateway.submit import Submitter

IdPrefix = Annotated[str, Query(max_length=64, description="Only runs whose id begins with this, such as `run_01J`.")]
PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE_ENTRIES)]


def routes(registry: Registry, submitter: Submitter) -> APIRouter:
    router = APIRouter(prefix="/v1/runs", tags=["runs"])

    @router.get("", summary="List runs, newest first")
    async def list_runs(
        state: api.RunState | None = None,
        name: Annotated[str, Query(description="Only runs of this name.")] = "",
        recipe: Annotated[str, Query(description="Only runs of this recipe.")] = "",
        dataset: Annotated[str, Query(description="Only runs on this dataset.")] = "",
        model: Annotated[str, Query(description="Only runs that register versions of this model.")] = "",
        id_prefix: IdPrefix = "",
        page_token: str = "",
        page_size: PageSize = 50,
    ) -> api.ListRunsResponse:
        """Filters apply to all runs of the project, not only to one page; an empty filter matches every run."""
        found = await registry.list_runs(
            state.value if state else "",
            page_token,
            page_size,
            name=name,
            recipe=recipe,
            dataset=dataset,
            model=model,
            id_prefix=id_prefix,
        )
        return api.ListRunsResponse(runs=found.items, next_page_token=found.next)

    @router.get("/{run_id}", summary="Get a run")
    async def get_run(run_id: str) -> api.Run:
        return await registry.get_run(run_id)

    @router.post("/{run_id}:cancel", status_code=202, summary="Cancel a run")
    async def cancel_run(run_id: str) -> api.Run:
        """A queued run ends at once; a running one ends when its processes have ended."""
        return await registry.cancel_run(run_id)

    @router.post("/{run_id}:retry", status_code=202, summary="Submit the same job again")
    async def retry_run(run_id: str, response: Response, idempotency_key: str = IDEMPOTENCY_KEY) -> api.Run:
        """Makes a new run with the same spec and the same dataset version."""
        submission = await submitter.retry(run_id, idempotency_key)
        response.status_code = 202 if submission.created else 200
        return submission.run

    @router.get("/{run_id}/attempts", summary="List a run's attempts")
    async def list_attempts(run_id: str) -> api.ListAttemptsResponse:
        return api.ListAttemptsResponse(attempts=await registry.list_attempts(run_id))

    @router.get("/{run_id}/checkpoints", summary="List a run's committed checkpoints")
    async def list_checkpoints(run_id: str) -> api.ListCheckpointsResponse:
        return api.ListCheckpointsResponse(checkpoints=await registry.list_checkpoints(run_id))

    @router.get("/{run_id}/metrics", summary="Read metric points")
    async def query_metrics(
        run_id: str,
        key: Annotated[list[str], Query(description="Only these metrics; repeat for several.")] = [],  # noqa: B006 - FastAPI copies it
        cursor: str = "",
        limit: Annotated[int, Query(ge=1, le=MAX_METRIC_POINTS)] = 1000,
    ) -> api.QueryMetricsResponse:
        tail = await registry.query_metrics(run_id, key, cursor, limit)
        return api.QueryMetricsResponse(points=tail.items, next_cursor=tail.cursor, end=tail.end)

    @router.get("/{run_id}/logs", summary="Read log chunks")
    async def read_log(
        run_id: str,
        stream: Annotated[str, Query(description="`rank-0`, `launcher`, …; empty: all.")] = "",
        cursor: str = "",
        limit: Annotated[int, Query(ge=1, le=MAX_LOG_CHUNKS)] = 100,
    ) -> api.ReadLogResponse:
        """Data is base64 in JSON; `/v1/runs/{run_id}/logs/stream` sends text."""
        tail = await registry.read_log(run_id, stream, cursor, limit)
        return api.ReadLogResponse(chunks=tail.items, next_cursor=tail.cursor, end=tail.end)

    return router
