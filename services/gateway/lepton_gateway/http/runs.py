"""Runs: list, get, cancel, retry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Response

from lepton_core import api
from lepton_core.api.limits import MAX_PAGE_ENTRIES
from lepton_core.jobs.labels import parse_labels
from lepton_core.jobs.spec import MAX_LABELS
from lepton_gateway.http.jobs import IDEMPOTENCY_KEY
from lepton_gateway.registry import Registry
from lepton_gateway.submit import Submitter

IdPrefix = Annotated[str, Query(max_length=64, description="Only runs whose id begins with this, such as `run_01J`.")]
LabelFilters = Annotated[
    Sequence[str],
    Query(max_length=MAX_LABELS, description="Only runs with this label, as `NAME=VALUE`. Several: with all of them."),
]
PageSize = Annotated[int, Query(ge=1, le=MAX_PAGE_ENTRIES)]


def routes(registry: Registry, submitter: Submitter) -> APIRouter:
    router = APIRouter(prefix="/v1/runs", tags=["runs"])

    @router.get("", summary="List runs, newest first")
    async def list_runs(
        *,
        state: api.RunState | None = None,
        name: Annotated[str, Query(description="Only runs of this name.")] = "",
        recipe: Annotated[str, Query(description="Only runs of this recipe.")] = "",
        dataset: Annotated[str, Query(description="Only runs on this dataset.")] = "",
        model: Annotated[str, Query(description="Only runs that register versions of this model.")] = "",
        label: LabelFilters = (),
        id_prefix: IdPrefix = "",
        page_token: str = "",
        page_size: PageSize = 50,
    ) -> api.ListRunsResponse:
        """Filters apply to all runs of the project, not only to one page; an empty filter matches every run."""
        found = await registry.list_runs(
            state.value if state else "",
            page_token,
            page_size,
            parse_labels(label, "label"),
            name=name,
            recipe=recipe,
            dataset=dataset,
            model=model,
            id_prefix=id_prefix,
        )
        return api.ListRunsResponse(runs=found.items, next_page_token=found.next)

    @router.get("/{run_id}", summary="Get a run")
    async def get_run(run_id: str) -> api.Run:
        return await registry.get_run(run_id)

    @router.post("/{run_id}:cancel", status_code=202, summary="Cancel a run")
    async def cancel_run(run_id: str) -> api.Run:
        """A queued run ends at once; a running one ends when its processes have ended."""
        return await registry.cancel_run(run_id)

    @router.post("/{run_id}:retry", status_code=202, summary="Submit the same job again")
    async def retry_run(run_id: str, response: Response, idempotency_key: str = IDEMPOTENCY_KEY) -> api.Run:
        """Makes a new run with the same spec and the same dataset version."""
        submission = await submitter.retry(run_id, idempotency_key)
        response.status_code = 202 if submission.created else 200
        return submission.run

    return router
