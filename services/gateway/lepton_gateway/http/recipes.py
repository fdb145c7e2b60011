"""What can be trained, and who can train it."""

from __future__ import annotations

from fastapi import APIRouter

from lepton_core.api import Recipe, Worker
from lepton_core.errors import ErrorCode, LeptonError
from lepton_gateway.http import bodies
from lepton_gateway.registry import Registry


def routes(registry: Registry) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["recipes"])

    @router.get("/recipes", summary="List recipes that workers announced")
    async def list_recipes() -> bodies.ListRecipesResponse:
        return bodies.ListRecipesResponse(recipes=await registry.list_recipes())

    @router.get("/recipes/{name}", summary="Get a recipe with the JSON Schema of its settings")
    async def get_recipe(name: str, version: str = "") -> Recipe:
        recipe = await registry.get_recipe(name, version)
        if recipe is None:
            raise LeptonError(
                ErrorCode.NOT_FOUND, f"No recipe {name!r}" + (f" of version {version!r}." if version else ".")
            )
        return recipe

    @router.get("/workers", tags=["workers"], summary="List workers")
    async def list_workers() -> bodies.ListWorkersResponse:
        return bodies.ListWorkersResponse(workers=await registry.list_workers())

    @router.post(
        "/workers/{worker_id}/drain",
        tags=["workers"],
        summary="Give a worker no more work, and let it release what it runs at a checkpoint",
    )
    async def drain_worker(worker_id: str) -> Worker:
        return await registry.drain_worker(worker_id)

    return router
