"""The wires of an attempt for files by digest: gRPC to the registry, HTTP to the object store."""

from collections.abc import Iterator, Sequence

import httpx

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.grpc_client import SyncChannel
from lepton_core.objects.ranges import is_range, range_header
from lepton_core.resources import FileEntry, Location, Upload, UploadedPart
from lepton_core.wire import from_proto, list_from_proto, list_to_proto
from lepton_proto.v1 import artifacts_pb2
from lepton_proto.v1.artifacts_pb2_grpc import ArtifactServiceStub

PAGE = 5000
_CHUNK_BYTES = 1 << 20


class ArtifactWire:
    """Sender and Receiver of `lepton_core.objects.transfer`. What the store refuses or cannot do now is UNAVAILABLE:
    asking the registry again gives fresh URLs."""

    def __init__(self, channel: SyncChannel) -> None:
        self._artifacts = ArtifactServiceStub(channel)
        # The store is reached directly; a proxy from the environment would be somebody else's.
        self._http = httpx.Client(timeout=httpx.Timeout(30.0, connect=5.0), trust_env=False)

    def manifest(self, digest: str) -> list[FileEntry]:
        """All files of a folder."""
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
        """Whether the registry found the damage too."""
        return bool(self._artifacts.ReportDamage(artifacts_pb2.ReportDamageRequest(digest=digest)).confirmed)

    def locate(self, digests: Sequence[str]) -> list[Location]:
        found = self._artifacts.Locate(artifacts_pb2.LocateRequest(digests=digests)).locations
        return list_from_proto(found, Location)

    def read(self, url: str, offset: int, length: int) -> Iterator[bytes]:
        received = 0
        try:
            with self._http.stream("GET", url, headers={"Range": range_header(offset, length)}) as response:
                if not is_range(response.status_code, response.headers, offset, length):
                    raise _refused(response.status_code)
                for chunk in response.iter_bytes(_CHUNK_BYTES):
                    yield chunk[: length - received]
                    received += len(chunk)
        except httpx.TransportError as error:
            raise _unreachable(error) from error
        if received < length:
            raise LeptonError(ErrorCode.UNAVAILABLE, f"the object store sent {received} bytes of {length}")

    def find_missing(self, digests: Sequence[str]) -> list[str]:
        return list(self._artifacts.FindMissing(artifacts_pb2.FindMissingRequest(digests=digests)).digests)

    def put_inline(self, files: Sequence[tuple[str, bytes]]) -> None:
        sent = [artifacts_pb2.InlineFile(digest=digest, data=data) for digest, data in files]
        self._artifacts.PutInline(artifacts_pb2.PutInlineRequest(files=sent))

    def create_upload(self, digest: str, size: int) -> Upload:
        request = artifacts_pb2.CreateUploadRequest(digest=digest, bytes=size)
        return from_proto(self._artifacts.CreateUpload(request).upload, Upload)

    def put_part(self, url: str, data: bytes) -> str:
        try:
            response = self._http.put(url, content=data, headers={"Content-Type": "application/octet-stream"})
        except httpx.TransportError as error:
            raise _unreachable(error) from error
        if response.status_code != 200:
            raise _refused(response.status_code)
        return str(response.headers.get("etag", "")).strip('"')

    def complete_upload(self, id: str, parts: Sequence[UploadedPart]) -> Upload:
        sent = list_to_proto(parts, artifacts_pb2.UploadedPart)
        answer = self._artifacts.CompleteUpload(artifacts_pb2.CompleteUploadRequest(id=id, parts=sent))
        return from_proto(answer.upload, Upload)

    def get_upload(self, id: str) -> Upload:
        return from_proto(self._artifacts.GetUpload(artifacts_pb2.GetUploadRequest(id=id)).upload, Upload)


def _refused(status: int) -> LeptonError:
    return LeptonError(ErrorCode.UNAVAILABLE, f"the object store answered {status}")


def _unreachable(error: httpx.TransportError) -> LeptonError:
    return LeptonError(ErrorCode.UNAVAILABLE, f"the object store cannot be reached: {type(error).__name__}")
