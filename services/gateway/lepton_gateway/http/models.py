"""Models, versions, aliases."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from lepton_core import api
from lepton_gateway.http.archives import ArchiveIntake, archive_body, is_archive
from lepton_gateway.http.runs import PageSize
from lepton_gateway.json_body import parse_request
from lepton_gateway.registry import Registry


def routes(registry: Registry, archives: ArchiveIntake) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["models"])

    @router.get("/models", summary="List models")
    async def list_models(page_token: str = "", page_size: PageSize = 50) -> api.ListModelsResponse:
        found = await registry.list_models(page_token, page_size)
        return api.ListModelsResponse(models=found.items, next_page_token=found.next)

    @router.get("/models/{name}", summary="Get a model with its aliases")
    async def get_model(name: str) -> api.Model:
        return await registry.get_model(name)

    @router.get("/models/{name}/versions", summary="List a model's versions, newest first")
    async def list_model_versions(
        name: str, page_token: str = "", page_size: PageSize = 50
    ) -> api.ListModelVersionsResponse:
        found = await registry.list_model_versions(name, page_token, page_size)
        return api.ListModelVersionsResponse(versions=found.items, next_page_token=found.next)

    @router.post(
        "/models/{name}/versions",
        status_code=201,
        summary="Import a model made elsewhere",
        openapi_extra=archive_body(api.ImportModelVersionRequest),
    )
    async def import_model_version(name: str, request: Request, response: Response) -> api.ImportModelVersionResponse:
        """From files already stored, or from an archive sent as the body. Each of `model.onnx`, `weights.safetensors`,
        `signature.json` and `card.json` is checked to be of the format that its name says."""
        if is_archive(request):
            files = await archives.files_of(await archives.receive(request))
        else:
            files = parse_request(api.ImportModelVersionRequest, await request.body()).files
        version, created = await registry.import_model_version(name, files)
        response.status_code = 201 if created else 200
        return api.ImportModelVersionResponse(version=version, created=created)

    @router.get("/model-versions/{reference}", summary="Get a version by reference")
    async def get_model_version(reference: str) -> api.ModelVersion:
        """`digits@champion`, `digits@2`, `digits@latest` or an id."""
        return await registry.get_model_version(reference)

    @router.put("/models/{name}/aliases/{alias}", summary="Move an alias")
    async def set_alias(name: str, alias: str, body: api.SetAliasRequest) -> api.SetAliasResponse:
        """Deployments that follow the alias get a new revision in the same transaction."""
        moved = await registry.set_alias(name, alias, body.version, body.expected_version)
        return api.SetAliasResponse(alias=moved)

    @router.delete("/models/{name}/aliases/{alias}", status_code=204, summary="Delete an alias")
    async def delete_alias(name: str, alias: str) -> None:
        await registry.delete_alias(name, alias)

    return router
