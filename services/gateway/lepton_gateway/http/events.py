"""Lists the project's events by position."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from lepton_core import api
from lepton_core.api.limits import MAX_PAGE_ENTRIES
from lepton_gateway.registry import Registry


def routes(registry: Registry) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["events"])

    @router.get("/events", summary="Read events")
    async def list_events(
        after: Annotated[int, Query(ge=0, lt=2**63, description="Events after this position.")] = 0,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE_ENTRIES)] = 100,
        subject: Annotated[str, Query(description="Only events about this id.")] = "",
    ) -> api.ListEventsResponse:
        events, last = await registry.list_events(after, limit, subject)
        return api.ListEventsResponse(events=events, last_position=last)

    return router
