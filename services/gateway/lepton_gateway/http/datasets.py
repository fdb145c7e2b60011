"""Datasets and their versions."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from lepton_core import api
from lepton_core.api.limits import MAX_MESSAGE_CHARS
from lepton_gateway.http.archives import ArchiveIntake, archive_body, is_archive
from lepton_gateway.http.runs import PageSize
from lepton_gateway.json_body import parse_request
from lepton_gateway.registry import Registry


def routes(registry: Registry, archives: ArchiveIntake) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["datasets"])

    @router.get("/datasets", summary="List datasets")
    async def list_datasets(page_token: str = "", page_size: PageSize = 50) -> api.ListDatasetsResponse:
        found = await registry.list_datasets(page_token, page_size)
        return api.ListDatasetsResponse(datasets=found.items, next_page_token=found.next)

    @router.get("/datasets/{name}", summary="Get a dataset")
    async def get_dataset(name: str) -> api.Dataset:
        return await registry.get_dataset(name)

    @router.post(
        "/datasets/{name}/versions",
        status_code=201,
        summary="Make a version",
        openapi_extra=archive_body(api.CreateDatasetVersionRequest),
    )
    async def create_dataset_version(
        name: str,
        request: Request,
        response: Response,
        message: Annotated[
            str, Query(max_length=MAX_MESSAGE_CHARS, description="With an archive: a description of what changed.")
        ] = "",
    ) -> api.CreateDatasetVersionResponse:
        """From a committed manifest, or from an archive (zip, tar, tar.gz) sent as the body.
        If the files equal those of the latest version, the answer is that version (200)."""
        if is_archive(request):
            digest = await archives.receive(request)
        else:
            body = parse_request(api.CreateDatasetVersionRequest, await request.body())
            digest, message = body.manifest_digest, body.message
        version, created = await registry.create_dataset_version(name, digest, message)
        response.status_code = 201 if created else 200
        return api.CreateDatasetVersionResponse(version=version, created=created)

    @router.get("/datasets/{name}/versions", summary="List a dataset's versions, newest first")
    async def list_dataset_versions(
        name: str, page_token: str = "", page_size: PageSize = 50
    ) -> api.ListDatasetVersionsResponse:
        found = await registry.list_dataset_versions(name, page_token, page_size)
        return api.ListDatasetVersionsResponse(versions=found.items, next_page_token=found.next)

    @router.get("/dataset-versions/{reference}", summary="Get a version by reference")
    async def get_dataset_version(reference: str) -> api.DatasetVersion:
        """`digits`, `digits@latest`, `digits@3`, `digits@sha256:…` or an id."""
        return await registry.get_dataset_version(reference)

    return router
