"""Logs of runs: chunks as objects, their index, and their deletion."""

from lepton_proto.v1 import logs_pb2_grpc as rpc
from lepton_registry.logs.chunks import LogChunks
from lepton_registry.logs.retention import LogRetention
from lepton_registry.logs.servicer import LogServicer
from lepton_registry.logs.tables import LogChunkRow, LogHeadRow, LogOffsetRow
from lepton_registry.module import Built, Module, Parts
from lepton_registry.periodic import leader_task

RETENTION_SECONDS = 600.0


def build(parts: Parts) -> Built:
    chunks = LogChunks(parts.database, parts.objects, max_bytes_per_run=parts.settings.max_log_bytes_per_run)
    kept = LogRetention(parts.database, parts.objects, retention=parts.settings.retention, leadership=parts.leadership)
    retention = leader_task("log retention", parts.leadership, kept.work, pause_seconds=RETENTION_SECONDS)
    servicer = LogServicer(parts.database, chunks)
    return Built([(rpc.add_LogServiceServicer_to_server, servicer)], [lambda: parts.with_bucket(retention)])


MODULE = Module(
    "logs",
    (
        LogChunkRow,
        LogHeadRow,
        LogOffsetRow,
    ),
    build=build,
)
