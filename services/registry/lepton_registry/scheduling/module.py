"""Scheduling: claims, leases, workers, and the reasons why runs wait."""

from lepton_proto.v1 import attempts_pb2_grpc, workers_pb2_grpc
from lepton_registry.artifacts.access_check import AccessCheck
from lepton_registry.models.package import PackageInspector
from lepton_registry.module import Built, Module, Parts
from lepton_registry.scheduling import queue_reason
from lepton_registry.scheduling.attempt_servicer import AttemptServicer
from lepton_registry.scheduling.sweeper import Sweeper
from lepton_registry.scheduling.worker_servicer import WorkerServicer
from lepton_registry.workers.tables import WorkerRecipeRow, WorkerRow


def build(parts: Parts) -> Built:
    settings = parts.settings
    attempts = AttemptServicer(
        parts.database,
        PackageInspector(parts.read_urls).inspect,
        AccessCheck(parts.database, parts.attempts),
        attempt_secret=parts.attempt_secret,
        lease_seconds=settings.lease_seconds,
        last_checkpoints=settings.retention.last_checkpoints,
        followers=parts.alias_followers,
    )
    return Built(
        [
            (attempts_pb2_grpc.add_AttemptServiceServicer_to_server, attempts),
            (workers_pb2_grpc.add_WorkerServiceServicer_to_server, WorkerServicer(parts.database)),
        ],
        [Sweeper(parts.database, parts.leadership, parts.wake, settings.sweep_seconds).run],
    )


MODULE = Module(
    "scheduling",
    (
        WorkerRow,
        WorkerRecipeRow,
    ),
    build=build,
    waiting_reason=queue_reason.waiting_reason,
)
