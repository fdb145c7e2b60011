"""Runs: submission, attempts, checkpoints and completion."""

from lepton_proto.v1 import runs_pb2_grpc as rpc
from lepton_registry.lineage.kinds import NodeKind
from lepton_registry.module import Built, Module, Parts
from lepton_registry.runs import attempts, checkpoints, store
from lepton_registry.runs.attempt_access import AttemptAccess
from lepton_registry.runs.servicer import RunServicer
from lepton_registry.runs.tables import (
    AttemptRow,
    CheckpointRow,
    JournalOffsetRow,
    LeaseClockRow,
    RunLabelRow,
    RunMetricRow,
    RunParameterRow,
    RunResultRow,
    RunRow,
)


def build(parts: Parts) -> Built:
    servicer = RunServicer(parts.database, parts.feed, parts.waiting_reason)
    return Built([(rpc.add_RunServiceServicer_to_server, servicer)])


MODULE = Module(
    "runs",
    (
        RunRow,
        AttemptRow,
        CheckpointRow,
        RunResultRow,
        RunLabelRow,
        RunParameterRow,
        RunMetricRow,
        LeaseClockRow,
        JournalOffsetRow,
    ),
    build=build,
    keeps_manifest=(store.keeps_manifest, checkpoints.keeps_manifest, attempts.keeps_manifest),
    node_kinds=(
        NodeKind("run", "run"),
        NodeKind("code", "code", by_digest=True),
        NodeKind("environment", "env", by_digest=True),
    ),
    attempts=AttemptAccess(),
)
