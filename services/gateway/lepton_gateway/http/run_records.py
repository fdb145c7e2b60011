"""What a run leaves behind: attempts, checkpoints, metrics and logs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from lepton_core import api
from lepton_core.api.limits import MAX_LOG_CHUNKS, MAX_METRIC_POINTS
from lepton_gateway.registry import Registry


def routes(registry: Registry) -> APIRouter:
    router = APIRouter(prefix="/v1/runs", tags=["runs"])

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
