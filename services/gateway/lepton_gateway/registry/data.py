"""Artifacts and datasets."""

from __future__ import annotations

from collections.abc import Sequence

import grpc.aio

from lepton_core.api import Artifact, Dataset, DatasetVersion, FileEntry, Location, Upload, UploadedPart
from lepton_core.grpc import conversion
from lepton_gateway.registry.channel import Page, models, page
from lepton_proto.v1 import artifacts_pb2, artifacts_pb2_grpc, datasets_pb2, datasets_pb2_grpc


class DataCalls:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._artifacts = artifacts_pb2_grpc.ArtifactServiceStub(channel)
        self._datasets = datasets_pb2_grpc.DatasetServiceStub(channel)

    async def find_missing(self, digests: Sequence[str]) -> list[str]:
        answer = await self._artifacts.FindMissing(artifacts_pb2.FindMissingRequest(digests=digests))
        return list(answer.digests)

    async def put_inline(self, files: Sequence[tuple[str, bytes]]) -> list[Artifact]:
        """(claimed digest, data) of small files, stored as one batch."""
        request = artifacts_pb2.PutInlineRequest(
            files=[artifacts_pb2.InlineFile(digest=digest, data=data) for digest, data in files]
        )
        return models((await self._artifacts.PutInline(request)).artifacts, Artifact)

    async def create_upload(self, digest: str, size: int) -> Upload:
        answer = await self._artifacts.CreateUpload(artifacts_pb2.CreateUploadRequest(digest=digest, bytes=size))
        return conversion.from_proto(answer.upload, Upload)

    async def complete_upload(self, id: str, parts: Sequence[UploadedPart]) -> Upload:
        request = artifacts_pb2.CompleteUploadRequest(
            id=id, parts=[conversion.to_proto(part, artifacts_pb2.UploadedPart) for part in parts]
        )
        return conversion.from_proto((await self._artifacts.CompleteUpload(request)).upload, Upload)

    async def get_upload(self, id: str) -> Upload:
        answer = await self._artifacts.GetUpload(artifacts_pb2.GetUploadRequest(id=id))
        return conversion.from_proto(answer.upload, Upload)

    async def locate(self, digests: Sequence[str]) -> list[Location]:
        answer = await self._artifacts.Locate(artifacts_pb2.LocateRequest(digests=digests))
        return models(answer.locations, Location)

    async def commit_manifest(self, files: Sequence[FileEntry]) -> tuple[str, int, int]:
        """The manifest's digest, its bytes and its files."""
        request = artifacts_pb2.CommitManifestRequest(
            files=[conversion.to_proto(each, artifacts_pb2.FileEntry) for each in files]
        )
        answer = await self._artifacts.CommitManifest(request)
        return answer.manifest_digest, answer.bytes, answer.files

    async def get_manifest(self, digest: str, after: str, limit: int) -> Page[FileEntry]:
        request = artifacts_pb2.GetManifestRequest(manifest_digest=digest, after=after, limit=limit)
        answer = await self._artifacts.GetManifest(request)
        return page(answer.files, FileEntry, answer.next_after)

    async def create_dataset_version(
        self, name: str, manifest_digest: str, message: str
    ) -> tuple[DatasetVersion, bool]:
        """Returns the version, and whether this call made it."""
        request = datasets_pb2.CreateDatasetVersionRequest(name=name, manifest_digest=manifest_digest, message=message)
        answer = await self._datasets.CreateDatasetVersion(request)
        return conversion.from_proto(answer.version, DatasetVersion), answer.created

    async def get_dataset(self, name: str) -> Dataset:
        answer = await self._datasets.GetDataset(datasets_pb2.GetDatasetRequest(name=name))
        return conversion.from_proto(answer.dataset, Dataset)

    async def list_datasets(self, page_token: str, page_size: int) -> Page[Dataset]:
        answer = await self._datasets.ListDatasets(
            datasets_pb2.ListDatasetsRequest(page_token=page_token, page_size=page_size)
        )
        return page(answer.datasets, Dataset, answer.next_page_token)

    async def get_dataset_version(self, reference: str) -> DatasetVersion:
        answer = await self._datasets.GetDatasetVersion(datasets_pb2.GetDatasetVersionRequest(reference=reference))
        return conversion.from_proto(answer.version, DatasetVersion)

    async def list_dataset_versions(self, name: str, page_token: str, page_size: int) -> Page[DatasetVersion]:
        answer = await self._datasets.ListDatasetVersions(
            datasets_pb2.ListDatasetVersionsRequest(name=name, page_token=page_token, page_size=page_size)
        )
        return page(answer.versions, DatasetVersion, answer.next_page_token)
