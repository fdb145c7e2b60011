"""gRPC of artifacts: files by digest, uploads, manifests."""

import asyncio
from typing import Any

import grpc

from lepton_core.identity import Principal
from lepton_core.ids import check_digest
from lepton_core.objects.ranges import range_header
from lepton_core.objects.store import ObjectStore
from lepton_proto.v1 import artifacts_pb2 as pb
from lepton_proto.v1 import artifacts_pb2_grpc as rpc
from lepton_registry.artifacts import packs, store
from lepton_registry.artifacts.access_check import AccessCheck
from lepton_registry.artifacts.manifest import build_manifest
from lepton_registry.artifacts.read_urls import ReadUrls, check_count, check_digests
from lepton_registry.artifacts.uploads import Uploads, UploadStatus
from lepton_registry.authentication import caller
from lepton_registry.database.engine import Database
from lepton_registry.rows import to_message

Context = grpc.aio.ServicerContext[Any, Any]


class ArtifactServicer(rpc.ArtifactServiceServicer):
    def __init__(
        self, database: Database, objects: ObjectStore, uploads: Uploads, read_urls: ReadUrls, access: AccessCheck
    ) -> None:
        self._database = database
        self._access = access
        self._objects = objects
        self._uploads = uploads
        self._read_urls = read_urls

    async def FindMissing(self, request: pb.FindMissingRequest, context: Context) -> pb.FindMissingResponse:
        principal = await self._sender()
        check_count(request.digests)
        missing = await self._access.missing(principal, request.digests)
        return pb.FindMissingResponse(digests=missing)

    async def PutInline(self, request: pb.PutInlineRequest, context: Context) -> pb.PutInlineResponse:
        principal = await self._sender()
        files = [(file.digest, file.data) for file in request.files]
        stored = await packs.put_inline(self._database, self._objects, principal.project, files)
        await self._access.sent(principal, [digest for digest, _ in files])
        return pb.PutInlineResponse(artifacts=[pb.Artifact(digest=item.digest, bytes=item.bytes) for item in stored])

    async def CreateUpload(self, request: pb.CreateUploadRequest, context: Context) -> pb.CreateUploadResponse:
        principal = await self._sender()
        check_digest(request.digest, "digest")
        may_know = not principal.attempt_id or not await self._access.missing(principal, [request.digest])
        upload = await self._uploads.create(
            principal.project, request.digest, request.bytes, attempt_id=principal.attempt_id, may_know=may_know
        )
        return pb.CreateUploadResponse(upload=_upload(upload))

    async def CompleteUpload(self, request: pb.CompleteUploadRequest, context: Context) -> pb.CompleteUploadResponse:
        parts = [(part.number, part.etag) for part in request.parts]
        principal = await self._sender()
        upload = await self._uploads.complete(principal.project, request.id, parts, attempt_id=principal.attempt_id)
        return pb.CompleteUploadResponse(upload=_upload(upload))

    async def GetUpload(self, request: pb.GetUploadRequest, context: Context) -> pb.GetUploadResponse:
        principal = await self._sender()
        upload = await self._uploads.get(principal.project, request.id, attempt_id=principal.attempt_id)
        return pb.GetUploadResponse(upload=_upload(upload))

    async def Locate(self, request: pb.LocateRequest, context: Context) -> pb.LocateResponse:
        principal = caller()
        check_digests(request.digests)
        await self._access.reads(principal, request.digests)
        found = await self._read_urls.locate(principal.project, request.digests)
        return pb.LocateResponse(
            locations=[
                pb.Location(
                    digest=place.digest,
                    url=place.url,
                    offset=place.offset,
                    bytes=place.bytes,
                    range=range_header(place.offset, place.bytes) if place.bytes else "",
                )
                for place in found
            ]
        )

    async def ReportDamage(self, request: pb.ReportDamageRequest, context: Context) -> pb.ReportDamageResponse:
        principal = caller()
        check_digest(request.digest, "digest")
        await self._access.reads(principal, [request.digest])
        confirmed = await self._read_urls.report_damage(principal.project, request.digest)
        return pb.ReportDamageResponse(confirmed=confirmed)

    async def CommitManifest(self, request: pb.CommitManifestRequest, context: Context) -> pb.CommitManifestResponse:
        principal = await self._sender()
        project = principal.project
        await self._access.names(principal, [file.digest for file in request.files])
        # Checking and hashing a big folder takes long, so it is done neither on the event loop nor in the transaction.
        manifest = await asyncio.to_thread(build_manifest, request.files)
        committed = await self._database.write(lambda conn: store.commit_built(conn, project, manifest))
        return pb.CommitManifestResponse(manifest_digest=committed.digest, bytes=committed.bytes, files=committed.files)

    async def GetManifest(self, request: pb.GetManifestRequest, context: Context) -> pb.GetManifestResponse:
        principal = caller()
        project = principal.project
        await self._access.lists(principal, request.manifest_digest)
        files, after = await self._database.read(
            lambda conn: store.page(conn, project, request.manifest_digest, request.after, request.limit)
        )
        return pb.GetManifestResponse(
            files=[pb.FileEntry(path=file.path, digest=file.digest, bytes=file.bytes) for file in files],
            next_after=after,
        )

    async def _sender(self) -> Principal:
        """The caller, who may add files to its project."""
        principal = caller()
        await self._access.sends(principal)
        return principal


def _upload(upload: UploadStatus) -> pb.Upload:
    parts = [pb.UploadPart(number=p.number, url=p.url, offset=p.offset, bytes=p.bytes) for p in upload.parts]
    return to_message(upload.row, pb.Upload, parts=parts)
