"""Transport of an attempt for files by digest: gRPC to the registry, HTTP to the object store."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from lepton_core.api import FileEntry, Location, Upload, UploadedPart
from lepton_core.grpc.client import SyncChannel
from lepton_core.grpc.conversion import from_proto, list_from_proto, list_to_proto
from lepton_proto.v1 import artifacts_pb2
from lepton_proto.v1.artifacts_pb2_grpc import ArtifactServiceStub

if TYPE_CHECKING:
    from lepton_trainer.files.store import Store

PAGE = 5000


class ArtifactWire:
    """Sender and Receiver of `lepton_core.objects.transfer`. Errors of the store are UNAVAILABLE: a retry gets new URLs
    from the registry."""

    def __init__(self, channel: SyncChannel) -> None:
        self._artifacts = ArtifactServiceStub(channel)

    @cached_property
    def _store(self) -> "Store":
        # Made when first needed: an attempt whose inputs are in the cache starts faster without an HTTP client.
        from lepton_trainer.files.store import Store

        return Store()

    def manifest(self, digest: str) -> list[FileEntry]:
        """All files of a manifest."""
        files: list[FileEntry] = []
        after = ""
        while True:
            request = artifacts_pb2.GetManifestRequest(manifest_digest=digest, after=after, limit=PAGE)
            page = self._artifacts.GetManifest(request)
            files += list_from_proto(page.files, FileEntry)
            after = page.next_after
            if not after:
                return files

    def report_damage(self, digest: str) -> bool:
        """Reports a damaged file; returns whether the registry confirms it."""
        return bool(self._artifacts.ReportDamage(artifacts_pb2.ReportDamageRequest(digest=digest)).confirmed)

    def locate(self, digests: Sequence[str]) -> list[Location]:
        found = self._artifacts.Locate(artifacts_pb2.LocateRequest(digests=digests)).locations
        return list_from_proto(found, Location)

    def read(self, url: str, offset: int, length: int) -> Iterator[bytes]:
        return self._store.read(url, offset, length)

    def find_missing(self, digests: Sequence[str]) -> list[str]:
        return list(self._artifacts.FindMissing(artifacts_pb2.FindMissingRequest(digests=digests)).digests)

    def put_inline(self, files: Sequence[tuple[str, bytes]]) -> None:
        sent = [artifacts_pb2.InlineFile(digest=digest, data=data) for digest, data in files]
        self._artifacts.PutInline(artifacts_pb2.PutInlineRequest(files=sent))

    def create_upload(self, digest: str, size: int) -> Upload:
        request = artifacts_pb2.CreateUploadRequest(digest=digest, bytes=size)
        return from_proto(self._artifacts.CreateUpload(request).upload, Upload)

    def put_part(self, url: str, data: bytes) -> str:
        return self._store.put_part(url, data)

    def complete_upload(self, id: str, parts: Sequence[UploadedPart]) -> Upload:
        sent = list_to_proto(parts, artifacts_pb2.UploadedPart)
        answer = self._artifacts.CompleteUpload(artifacts_pb2.CompleteUploadRequest(id=id, parts=sent))
        return from_proto(answer.upload, Upload)

    def get_upload(self, id: str) -> Upload:
        return from_proto(self._artifacts.GetUpload(artifacts_pb2.GetUploadRequest(id=id)).upload, Upload)
