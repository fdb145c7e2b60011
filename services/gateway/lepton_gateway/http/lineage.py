"""Lineage: what a resource was made from, and what was made from it."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from lepton_core.api import Lineage
from lepton_core.api.limits import MAX_LINEAGE_DEPTH
from lepton_gateway.registry import Registry


def routes(registry: Registry) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["lineage"])

    @router.get("/lineage/{id}", summary="Get the lineage of anything that has an id")
    async def get_lineage(
        id: str,
        direction: Literal["up", "down", "both"] = "up",
        max_depth: Annotated[int, Query(ge=1, le=MAX_LINEAGE_DEPTH)] = 20,
    ) -> Lineage:
        """`id`: of a prediction, revision, model version, run or dataset version, `code:sha256:…`, `env:sha256:…`,
        or a reference such as `digits@champion`. `up` follows what it was made from, `down` what was made from it."""
        return await registry.get_lineage(id, direction, max_depth)

    return router
