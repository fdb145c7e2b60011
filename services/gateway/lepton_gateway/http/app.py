"""Builds the gateway's HTTP application."""

from __future__ import annotations

import httpx

from lepton_core.http.app import build_app
from lepton_core.http.openapi import DocumentedApp
from lepton_core.identity import TokenAuthenticator
from lepton_core.metrics import Metrics
from lepton_gateway.folders import FolderUpload
from lepton_gateway.http import (
    archives,
    artifacts,
    datasets,
    deployments,
    events,
    jobs,
    keys,
    lineage,
    models,
    predict,
    recipes,
    run_records,
    runs,
    streams,
)
from lepton_gateway.http.openapi import BODY_SCHEMAS, PARAMETERS, TAGS
from lepton_gateway.registry import Registry
from lepton_gateway.submit import Submitter

DESCRIPTION = """
Submit a job, follow its run, serve its model, ask where a prediction came from.

Every request needs `Authorization: Bearer <API key>`; the key selects the project. Errors are problem details
(RFC 9457) with a stable `code`. Times are microseconds since 1970, UTC, in fields that end in `_us`.
"""


# Routes whose bodies carry files, lists of files, or what a model is asked; all others take at most MAX_REQUEST_BYTES.
LARGE_BODIES = frozenset(
    {
        "POST /v1/artifacts:inline",
        "POST /v1/code",
        "POST /v1/datasets/{name}/versions",
        "POST /v1/deployments/{name}:predict",
        "POST /v1/manifests",
        "POST /v1/models/{name}/versions",
    }
)


def build_http_app(
    registry: Registry,
    submitter: Submitter,
    authenticator: TokenAuthenticator,
    inference: httpx.AsyncClient,
    object_store: httpx.AsyncClient,
    *,
    max_body_bytes: int,
    max_archive_bytes: int,
    metrics: Metrics | None = None,
) -> DocumentedApp:
    app = build_app(
        "Lepton",
        authenticator,
        max_body_bytes=max_body_bytes,
        large_bodies=LARGE_BODIES,
        description=DESCRIPTION,
        metrics=metrics,
    )
    app.parameter_texts = PARAMETERS
    app.openapi_tags = TAGS
    app.body_schemas = BODY_SCHEMAS
    intake = archives.ArchiveIntake(
        registry, FolderUpload(registry, object_store), max_unpacked_bytes=max_archive_bytes
    )
    for router in (
        jobs.routes(registry, submitter),
        streams.routes(registry),
        runs.routes(registry, submitter),
        run_records.routes(registry),
        artifacts.routes(registry, max_body_bytes=max_body_bytes),
        datasets.routes(registry, intake),
        archives.routes(intake),
        models.routes(registry, intake),
        # Before the deployments, whose `/{name}` would also match `name:predict`.
        predict.routes(inference),
        deployments.routes(registry),
        lineage.routes(registry),
        recipes.routes(registry),
        keys.routes(registry, authenticator.forget),
        events.routes(registry),
    ):
        app.include_router(router)
    return app
