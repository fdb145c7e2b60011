"""Recipes, and the workers that run them."""

from __future__ import annotations

from fastapi import APIRouter

from lepton_core import api
from lepton_core.errors import ErrorCode, LeptonError
from lepton_gateway.registry import Registry


def routes(registry: Registry) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["recipes"])

    @router.get("/recipes", summary="List recipes that workers announced")
    async def list_recipes() -> api.ListRecipesResponse:
        return api.ListRecipesResponse(recipes=await registry.list_recipes())

    @router.get("/recipes/{name}", summary="Get a recipe with the JSON Schema of its settings")
    async def get_recipe(name: str, version: str = "") -> api.Recipe:
        recipe = await registry.get_recipe(name, version)
        if recipe is None:
            raise LeptonError(
                ErrorCode.NOT_FOUND, f"No recipe {name!r}" + (f" of version {version!r}." if version else ".")
            )
        return recipe

    @router.get("/workers", tags=["workers"], summary="List workers")
    async def list_workers() -> api.ListWorkersResponse:
        return api.ListWorkersResponse(workers=await registry.list_workers())

    @router.post(
        "/workers/{worker_id}/drain",
        tags=["workers"],
        summary="Drain a worker: it gets no new work, and releases its attempts at their next checkpoint",
    )
    async def drain_worker(worker_id: str) -> api.Worker:
        return await registry.drain_worker(worker_id)

    return router
