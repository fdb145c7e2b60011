"""Artifacts: files by digest, uploads, manifests, and garbage collection."""

import asyncio

from lepton_proto.v1 import artifacts_pb2_grpc as rpc
from lepton_registry.artifacts.access_check import AccessCheck
from lepton_registry.artifacts.bucket import take
from lepton_registry.artifacts.collection import Collector
from lepton_registry.artifacts.servicer import ArtifactServicer
from lepton_registry.artifacts.tables import ArtifactRow, AttemptFileRow, ManifestFileRow, ManifestRow, UploadRow
from lepton_registry.artifacts.uploads import Uploads
from lepton_registry.module import Built, Module, Parts
from lepton_registry.periodic import leader_task

COLLECT_SECONDS = 600.0


def build(parts: Parts) -> Built:
    uploads = Uploads(parts.database, parts.objects, parts.attempts, retention=parts.settings.retention)
    access = AccessCheck(parts.database, parts.attempts)
    servicer = ArtifactServicer(parts.database, parts.objects, uploads, parts.read_urls, access)
    collector = Collector(
        parts.database,
        parts.objects,
        parts.keeps_manifest,
        retention=parts.settings.retention,
        leadership=parts.leadership,
    )
    collect = leader_task("collection", parts.leadership, collector.work, pause_seconds=COLLECT_SECONDS)

    async def take_bucket() -> None:
        await take(parts.objects, parts.owner, parts.bucket_ready)
        await asyncio.Event().wait()

    tasks = [take_bucket, uploads.run, lambda: parts.with_bucket(collect)]
    return Built([(rpc.add_ArtifactServiceServicer_to_server, servicer)], tasks)


MODULE = Module(
    "artifacts",
    (
        ArtifactRow,
        UploadRow,
        AttemptFileRow,
        ManifestRow,
        ManifestFileRow,
    ),
    build=build,
)
