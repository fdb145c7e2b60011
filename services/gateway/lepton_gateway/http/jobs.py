"""Submitting jobs."""

from __future__ import annotations

from fastapi import APIRouter, Header, Request, Response

from lepton_core.api import Run
from lepton_gateway.http.openapi import job_body
from lepton_gateway.job_schema import schema_with_recipes
from lepton_gateway.json_body import parse_object
from lepton_gateway.registry import Registry
from lepton_gateway.submit import Submitter

IDEMPOTENCY_KEY = Header(
    description="Made by the client, e.g. a UUID. The same key with the same body gives the same run; "
    "with another body it is refused (409)."
)


def routes(registry: Registry, submitter: Submitter) -> APIRouter:
    router = APIRouter(prefix="/v1", tags=["jobs"])

    @router.post(
        "/jobs",
        status_code=202,
        response_model=Run,
        summary="Submit a job",
        responses={200: {"model": Run, "description": "The key was used before: the run that it made."}},
        openapi_extra={"requestBody": job_body()},
    )
    async def submit_job(request: Request, idempotency_key: str = IDEMPOTENCY_KEY) -> Response:
        """The answer is sent after the run is committed to the database."""
        body = parse_object(await request.body())
        submission = await submitter.submit(body, idempotency_key)
        return Response(
            submission.run.model_dump_json(),
            status_code=202 if submission.created else 200,
            media_type="application/json",
            headers={"location": f"/v1/runs/{submission.run.id}"},
        )

    @router.get("/schemas/job.json", tags=["schemas"], summary="JSON Schema of a job file")
    async def get_job_schema() -> dict[str, object]:
        """For an editor's YAML language server: completes job files, with the settings of all announced recipes."""
        return schema_with_recipes(await registry.list_recipes())

    return router
