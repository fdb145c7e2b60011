"""The registry's artifacts, as an attempt sees them: manifests, places to read from, uploads. Protobuf stays here."""

from collections.abc import Sequence
from dataclasses import dataclass

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.grpc_client import SyncChannel
from lepton_proto.v1 import artifacts_pb2
from lepton_proto.v1.artifacts_pb2_grpc import ArtifactServiceStub
from lepton_trainer.worker.registry import File

PAGE = 5000


@dataclass(frozen=True)
class Place:
    """Where the bytes of a digest lie: a short-lived URL, and the range within that object."""

    digest: str
    url: str
    offset: int
    bytes: int


@dataclass(frozen=True)
class Part:
    number: int
    url: str
    offset: int
    bytes: int


@dataclass(frozen=True)
class Ticket:
    """An upload: `parts` are to be sent; none when the registry has the bytes already."""

    id: str
    parts: Sequence[Part]


class ArtifactRegistry:
    def __init__(self, channel: SyncChannel) -> None:
        self._artifacts = ArtifactServiceStub(channel)

    def manifest(self, digest: str) -> list[File]:
        """All files of a folder."""
        files: list[File] = []
        after = ""
        while True:
            request = artifacts_pb2.GetManifestRequest(manifest_digest=digest, after=after, limit=PAGE)
            page = self._artifacts.GetManifest(request)
            files += [File(entry.path, entry.digest, entry.bytes) for entry in page.files]
            after = page.next_after
            if not after:
                return files

    def locate(self, digests: Sequence[str]) -> list[Place]:
        found = self._artifacts.Locate(artifacts_pb2.LocateRequest(digests=digests)).locations
        return [Place(each.digest, each.url, each.offset, each.bytes) for each in found]

    def report_damage(self, digest: str) -> bool:
        """Whether the registry found the damage too."""
        return bool(self._artifacts.ReportDamage(artifacts_pb2.ReportDamageRequest(digest=digest)).confirmed)

    def find_missing(self, digests: Sequence[str]) -> list[str]:
        return list(self._artifacts.FindMissing(artifacts_pb2.FindMissingRequest(digests=digests)).digests)

    def put_inline(self, files: Sequence[tuple[str, bytes]]) -> None:
        sent = [artifacts_pb2.InlineFile(digest=digest, data=data) for digest, data in files]
        self._artifacts.PutInline(artifacts_pb2.PutInlineRequest(files=sent))

    def create_upload(self, digest: str, size: int) -> Ticket:
        upload = self._artifacts.CreateUpload(artifacts_pb2.CreateUploadRequest(digest=digest, bytes=size)).upload
        if upload.state == artifacts_pb2.UPLOAD_STATE_COMMITTED:
            return Ticket(upload.id, ())
        return Ticket(upload.id, [Part(part.number, part.url, part.offset, part.bytes) for part in upload.parts])

    def complete_upload(self, upload_id: str, etags: Sequence[tuple[int, str]]) -> bool:
        """Whether it is committed already; otherwise ask `is_committed` again."""
        parts = [artifacts_pb2.UploadedPart(number=number, etag=etag) for number, etag in etags]
        request = artifacts_pb2.CompleteUploadRequest(id=upload_id, parts=parts)
        return _committed(self._artifacts.CompleteUpload(request).upload)

    def is_committed(self, upload_id: str) -> bool:
        """Raises CORRUPT when other bytes arrived than were announced."""
        return _committed(self._artifacts.GetUpload(artifacts_pb2.GetUploadRequest(id=upload_id)).upload)


def _committed(upload: artifacts_pb2.Upload) -> bool:
    if upload.state == artifacts_pb2.UPLOAD_STATE_FAILED:
        raise LeptonError(ErrorCode.CORRUPT, f"the upload of {upload.digest} failed: {upload.error}")
    return upload.state == artifacts_pb2.UPLOAD_STATE_COMMITTED
