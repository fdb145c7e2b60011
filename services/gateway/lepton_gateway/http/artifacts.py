"""Files by digest: which ones are missing, how to upload and read them, and manifests (folders) of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from lepton_core import api
from lepton_core.api.limits import MAX_MANIFEST_PAGE
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.http.openapi import reference
from lepton_core.objects.inline_batch import MEDIA_TYPE, read_batch
from lepton_gateway.json_body import parse_request
from lepton_gateway.registry import Registry


def routes(registry: Registry, *, max_body_bytes: int) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["artifacts"])

    @router.post("/artifacts:missing", summary="Find which of these files the project does not have")
    async def find_missing(body: api.FindMissingRequest) -> api.FindMissingResponse:
        return api.FindMissingResponse(digests=await registry.find_missing(body.digests))

    @router.post(
        "/artifacts:inline",
        status_code=201,
        summary="Store a batch of small files",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    )
    async def put_inline(request: Request) -> api.PutInlineResponse:
        """One line of JSON (a list of `[digest, bytes]`), a newline, then the files' bytes one after the other.
        At most 256 KiB for each file and 16 MiB for the batch."""
        if request.headers.get("content-type", "") != MEDIA_TYPE:
            raise LeptonError(ErrorCode.UNSUPPORTED_MEDIA, f"The body must be {MEDIA_TYPE}.")
        files = read_batch(await request.body())
        return api.PutInlineResponse(artifacts=await registry.put_inline(files))

    @router.post("/artifacts:locate", summary="Get short-lived URLs to read files from")
    async def locate(body: api.LocateRequest) -> api.LocateResponse:
        """GET each `url` with the header `Range: <range>`: several small files may lie in one object."""
        return api.LocateResponse(locations=await registry.locate(body.digests))

    router.include_router(_uploads(registry))
    router.include_router(_manifests(registry, max_body_bytes))
    return router


def _uploads(registry: Registry) -> APIRouter:
    router = APIRouter()

    @router.post("/uploads", status_code=201, summary="Begin the upload of a large file")
    async def create_upload(body: api.CreateUploadRequest) -> api.Upload:
        """The answer has one presigned URL for each part: PUT the part's bytes there and keep the ETag."""
        return await registry.create_upload(body.digest, body.bytes)

    @router.post("/uploads/{upload_id}:complete", status_code=202, summary="Complete an upload whose parts were sent")
    async def complete_upload(upload_id: str, body: api.CompleteUploadRequest) -> api.Upload:
        """The registry then hashes the stored bytes; poll the upload until it is `committed` or `failed`."""
        return await registry.complete_upload(upload_id, body.parts)

    @router.get("/uploads/{upload_id}", summary="Get the state of an upload")
    async def get_upload(upload_id: str) -> api.Upload:
        return await registry.get_upload(upload_id)

    return router


def _manifests(registry: Registry, max_body_bytes: int) -> APIRouter:
    router = APIRouter()

    @router.post(
        "/manifests",
        status_code=201,
        summary="Commit a folder of files",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": reference("CommitManifestRequest")}},
            }
        },
    )
    async def commit_manifest(request: Request) -> api.CommitManifestResponse:
        body = parse_request(api.CommitManifestRequest, await request.body(), max_bytes=max_body_bytes)
        digest, size, files = await registry.commit_manifest(body.files)
        return api.CommitManifestResponse(manifest_digest=digest, bytes=size, files=files)

    @router.get("/manifests/{manifest_digest}", summary="List the files of a folder")
    async def get_manifest(
        manifest_digest: str,
        after: str = "",
        limit: Annotated[int, Query(ge=1, le=MAX_MANIFEST_PAGE)] = MAX_MANIFEST_PAGE,
    ) -> api.GetManifestResponse:
        found = await registry.get_manifest(manifest_digest, after, limit)
        return api.GetManifestResponse(files=found.items, next_after=found.next)

    return router
