"""Folders uploaded as one archive, for clients without the SDK. Archives are not trusted; files are stored singly."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel

from lepton_core import api
from lepton_core.api.limits import MAX_PACKAGE_FILES
from lepton_core.archives import ArchiveLimits, unpack
from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.http.openapi import reference
from lepton_gateway.folders import FolderUpload
from lepton_gateway.registry import Registry

ARCHIVE_TYPES = ("application/zip", "application/x-tar", "application/gzip", "application/x-gzip")


def archive_body(model: type[BaseModel]) -> dict[str, Any]:
    """The request body in OpenAPI: the JSON of `model`, one of `BODY_SCHEMAS`, or an archive."""
    content: dict[str, Any] = {"application/json": {"schema": reference(model.__name__)}}
    content |= {name: {"schema": {"type": "string", "format": "binary"}} for name in ARCHIVE_TYPES[:3]}
    return {"requestBody": {"required": True, "content": content}}


def is_archive(request: Request) -> bool:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in ARCHIVE_TYPES:
        return True
    if media_type not in ("", "application/json"):
        allowed = ", ".join(("application/json", *ARCHIVE_TYPES[:3]))
        raise LeptonError(ErrorCode.UNSUPPORTED_MEDIA, f"The body is {media_type!r}; allowed: {allowed}.")
    return False


class ArchiveIntake:
    def __init__(self, registry: Registry, upload: FolderUpload, *, max_unpacked_bytes: int) -> None:
        self._registry = registry
        self._upload = upload
        self._limits = ArchiveLimits(max_bytes=max_unpacked_bytes)

    async def receive(self, request: Request) -> str:
        """Stores the files of the archive; returns the manifest's digest. Raises INVALID for an unsafe archive."""
        with tempfile.TemporaryDirectory(prefix="lepton-archive-") as scratch:
            archive, folder = Path(scratch) / "archive", Path(scratch) / "files"
            with archive.open("wb") as file:
                async for chunk in request.stream():
                    file.write(chunk)
            folder.mkdir()
            unpacked = await asyncio.to_thread(unpack, archive, folder, self._limits)
            if unpacked.files == 0:
                raise invalid("archive", "holds no file", allowed="at least one file")
            return await self._upload.send(folder)

    async def files_of(self, manifest_digest: str) -> list[api.FileEntry]:
        found = await self._registry.get_manifest(manifest_digest, "", MAX_PACKAGE_FILES)
        return found.items


def routes(archives: ArchiveIntake) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["jobs"])

    @router.post(
        "/code",
        status_code=201,
        summary="Store a code folder for a script job",
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {name: {"schema": {"type": "string", "format": "binary"}} for name in ARCHIVE_TYPES[:3]},
            }
        },
    )
    async def create_code(request: Request) -> api.CodeFolder:
        """Send an archive as the body. The digest in the answer is the value for `script.code` of a job."""
        if not is_archive(request):
            raise LeptonError(ErrorCode.UNSUPPORTED_MEDIA, f"The body must be one of {', '.join(ARCHIVE_TYPES[:3])}.")
        return api.CodeFolder(code=await archives.receive(request))

    return router
