"""What the API's document says beside its routes: the groups, the common parameters, and bodies that routes read."""

from __future__ import annotations

from typing import Any

from lepton_core.api import CreateDatasetVersionRequest, ImportModelVersionRequest
from lepton_core.http.openapi import reference
from lepton_core.jobs.spec import job_schema

TAGS = [
    {"name": "jobs", "description": "Submitting work: one call makes a run."},
    {"name": "schemas", "description": "Schemas for editors."},
    {"name": "runs", "description": "What became of jobs: states, attempts, checkpoints, metrics, logs."},
    {
        "name": "streams",
        "description": "Server-sent events. Send the last `id` that you saw as `Last-Event-ID` and the stream goes on "
        "behind it, with nothing missing and nothing twice.",
    },
    {"name": "events", "description": "The same events, to be read by position."},
    {"name": "datasets", "description": "Folders, in versions that never change and are named by their content."},
    {"name": "artifacts", "description": "Files named by their SHA-256, and manifests: folders of them."},
    {"name": "models", "description": "Models, their versions, and aliases that move between versions."},
    {"name": "deployments", "description": "Which model version is served under which name."},
    {"name": "predictions", "description": "Asking a deployment."},
    {"name": "lineage", "description": "Where a thing came from, and what was made of it."},
    {"name": "recipes", "description": "What can be trained: announced by the workers."},
    {"name": "workers", "description": "The machines that train."},
    {"name": "keys", "description": "API keys: who may call the platform."},
    {"name": "projects", "description": "Each has its own names, keys and files."},
]

PARAMETERS = {
    "run_id": "Id of the run: `run_…`.",
    "upload_id": "Id of the upload: `upl_…`.",
    "worker_id": "Id of the worker: `wrk_…`.",
    "key_id": "Id of the key: `key_…`; not its secret.",
    "manifest_digest": "Digest of the manifest: `sha256:…`.",
    "name": "Name within the project.",
    "alias": "Name of the alias, such as `champion`; no number, and not `latest`.",
    "reference": "`name`, `name@latest`, `name@3`, `name@sha256:…`, an id; of a model also `name@<alias>`.",
    "id": "An id, or a reference such as `digits@champion`.",
    "page_token": "The `next_page_token` of the page before; empty for the first page.",
    "page_size": "Most entries of a page.",
    "cursor": "The `next_cursor` of the answer before; empty for the beginning.",
    "limit": "Most entries of an answer.",
    "after": "Only what comes after this one.",
    "state": "Only runs in this state.",
    "stream": "Only this stream, such as `rank-0` or `launcher`.",
    "version": "Version of the recipe; the newest if it is left out.",
    "direction": "`up` leads to what it came from, `down` to what was made of it.",
    "max_depth": "How many steps to go.",
}

# Bodies that routes read by themselves, since FastAPI would read them as one type only.
BODY_SCHEMAS = {
    # Without `oneOf` ("a recipe or a script"): generators of clients make a choice of two empty classes of it.
    "JobSpec": {name: part for name, part in job_schema().items() if name != "oneOf"},
    **{model.__name__: model.model_json_schema() for model in (CreateDatasetVersionRequest, ImportModelVersionRequest)},
}


def job_body() -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": reference("JobSpec")}}}
