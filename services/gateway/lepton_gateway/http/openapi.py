"""Parts of the OpenAPI document that are not in the routes: groups, common parameters, and bodies read by hand."""

from __future__ import annotations

from typing import Any

from lepton_core.api import CommitManifestRequest, CreateDatasetVersionRequest, ImportModelVersionRequest
from lepton_core.http.openapi import reference
from lepton_core.jobs.spec import job_schema

TAGS = [
    {"name": "jobs", "description": "Submit work: one call makes one run."},
    {"name": "schemas", "description": "Schemas for editors."},
    {"name": "runs", "description": "The execution of jobs: states, attempts, checkpoints, metrics, logs."},
    {
        "name": "streams",
        "description": "Server-sent events. Send the last `id` that you received as `Last-Event-ID`; the stream "
        "continues after it, with no event missing and none repeated.",
    },
    {"name": "events", "description": "The same events as pages, read by position."},
    {"name": "datasets", "description": "Folders of data in immutable versions, identified by their content."},
    {
        "name": "artifacts",
        "description": "Files identified by their SHA-256, and manifests: lists of a folder's files.",
    },
    {"name": "models", "description": "Models, their versions, and aliases that move between versions."},
    {"name": "deployments", "description": "Which model version is served under which name."},
    {"name": "predictions", "description": "Asking a deployment."},
    {"name": "lineage", "description": "What a resource was made from, and what was made from it."},
    {"name": "recipes", "description": "The training recipes that workers have announced."},
    {"name": "workers", "description": "The machines that train."},
    {"name": "keys", "description": "API keys, which identify callers."},
    {"name": "projects", "description": "Each project has its own names, keys and files."},
]

PARAMETERS = {
    "run_id": "Id of the run: `run_…`.",
    "upload_id": "Id of the upload: `upl_…`.",
    "worker_id": "Id of the worker: `wrk_…`.",
    "key_id": "Id of the key (`key_…`), which is not its secret.",
    "manifest_digest": "Digest of the manifest: `sha256:…`.",
    "name": "Name within the project.",
    "alias": "Name of the alias, such as `champion`. Numbers and `latest` are not allowed.",
    "reference": "`name`, `name@latest`, `name@3`, `name@sha256:…`, an id; of a model also `name@<alias>`.",
    "id": "An id, or a reference such as `digits@champion`.",
    "page_token": "The `next_page_token` of the previous page; empty for the first page.",
    "page_size": "The maximum number of entries of a page.",
    "cursor": "The `next_cursor` of the previous answer; empty for the beginning.",
    "limit": "The maximum number of entries of an answer.",
    "after": "Only entries after this one.",
    "state": "Only runs in this state.",
    "stream": "Only this stream, such as `rank-0` or `launcher`.",
    "version": "Version of the recipe; the newest by default.",
    "direction": "`up` follows what it was made from, `down` what was made from it.",
    "max_depth": "The maximum number of steps from the start.",
}

# Bodies that routes read by hand, since FastAPI would accept only one media type for them.
BODY_SCHEMAS = {
    # Without `oneOf` ("a recipe or a script"): client generators turn it into a choice between two empty classes.
    "JobSpec": {name: part for name, part in job_schema().items() if name != "oneOf"},
    **{
        model.__name__: model.model_json_schema()
        for model in (CommitManifestRequest, CreateDatasetVersionRequest, ImportModelVersionRequest)
    },
}


def job_body() -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": reference("JobSpec")}}}
