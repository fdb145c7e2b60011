"""gRPC of logs."""

from typing import Any

import grpc

from lepton_core.identity import require_attempt
from lepton_proto.v1 import logs_pb2 as pb
from lepton_proto.v1 import logs_pb2_grpc as rpc
from lepton_registry.authentication import caller
from lepton_registry.database.engine import Database
from lepton_registry.logs import store
from lepton_registry.logs.chunks import LogChunks
from lepton_registry.paging import page_limit, position_of
from lepton_registry.rows import to_message

Context = grpc.aio.ServicerContext[Any, Any]
MAX_CHUNKS, DEFAULT_CHUNKS = 200, 50
# Size of one answer: chunks may be large.
MAX_ANSWER_BYTES = 8 * 1024 * 1024


class LogServicer(rpc.LogServiceServicer):
    def __init__(self, database: Database, chunks: LogChunks) -> None:
        self._database = database
        self._chunks = chunks

    async def AppendLog(self, request: pb.AppendLogRequest, context: Context) -> pb.AppendLogResponse:
        require_attempt(request.attempt_id)
        committed, full = await self._chunks.append(request.attempt_id, request.stream, request.offset, request.data)
        return pb.AppendLogResponse(committed_offset=committed, full=full)

    async def ReadLog(self, request: pb.ReadLogRequest, context: Context) -> pb.ReadLogResponse:
        project, after = caller().project, position_of(request.cursor)
        limit = page_limit(request.limit, MAX_CHUNKS, DEFAULT_CHUNKS)
        rows, end = await self._database.read(
            lambda conn: store.read(conn, project, request.run_id, stream=request.stream, after=after, limit=limit)
        )
        shown = rows[: _fitting([row.bytes for row in rows])]
        bodies = await self._chunks.read(shown)
        return pb.ReadLogResponse(
            chunks=[to_message(row, pb.LogChunk, data=data) for row, data in zip(shown, bodies, strict=True)],
            next_cursor=str(shown[-1].position if shown else after),
            end=end and len(shown) == len(rows),
        )


def _fitting(sizes: list[int]) -> int:
    """The number of chunks that fit into one answer; at least one."""
    total = 0
    for count, size in enumerate(sizes):
        total += size
        if total > MAX_ANSWER_BYTES and count:
            return count
    return len(sizes)
