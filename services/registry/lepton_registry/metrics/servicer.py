"""gRPC of metric series."""

import asyncio
from typing import Any

import grpc

from lepton_core.api.limits import MAX_METRIC_POINTS
from lepton_core.errors import invalid
from lepton_core.identity import require_attempt
from lepton_proto.v1 import metrics_pb2 as pb
from lepton_proto.v1 import metrics_pb2_grpc as rpc
from lepton_registry.authentication import caller
from lepton_registry.database.engine import Database
from lepton_registry.metrics import store
from lepton_registry.metrics.records import check_file, parse_points
from lepton_registry.paging import page_limit, position_of
from lepton_registry.rows import to_message

Context = grpc.aio.ServicerContext[Any, Any]
MAX_RECORDS_BYTES = 4 * 1024 * 1024
# Dropped names that an answer lists.
SHOWN_NAMES = 5


class MetricServicer(rpc.MetricServiceServicer):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def AppendMetrics(self, request: pb.AppendMetricsRequest, context: Context) -> pb.AppendMetricsResponse:
        require_attempt(request.attempt_id)
        check_file(request.file, request.rank)
        if request.offset < 0:
            raise invalid("offset", "negative", request.offset, "0 or more")
        if len(request.records) > MAX_RECORDS_BYTES:
            raise invalid("records", "too large", len(request.records), f"at most {MAX_RECORDS_BYTES} bytes")
        points = await asyncio.to_thread(parse_points, request.records, request.offset)
        appended = await self._database.write(
            lambda conn: store.append(
                conn,
                request.attempt_id,
                rank=request.rank,
                file=request.file,
                offset=request.offset,
                size=len(request.records),
                points=points,
            )
        )
        return pb.AppendMetricsResponse(
            committed_offset=appended.committed_offset,
            dropped_names=appended.dropped_names[:SHOWN_NAMES],
            dropped_name_count=len(appended.dropped_names),
        )

    async def QueryMetrics(self, request: pb.QueryMetricsRequest, context: Context) -> pb.QueryMetricsResponse:
        project, after = caller().project, position_of(request.cursor)
        limit = page_limit(request.limit, MAX_METRIC_POINTS)
        rows, end = await self._database.read(
            lambda conn: store.query(conn, project, request.run_id, keys=list(request.keys), after=after, limit=limit)
        )
        return pb.QueryMetricsResponse(
            points=[to_message(row, pb.MetricPoint) for row in rows],
            next_cursor=str(rows[-1].position if rows else after),
            end=end,
        )
