"""Runs: submission, look-up, cancel, retry."""

import json
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.ids import digest_of, new_id
from lepton_core.jobs import JobSpec, check_submittable, parse_job
from lepton_core.validation import canonical_json
from lepton_registry.artifacts import store as artifacts
from lepton_registry.database import insert_new_row, now_us, table
from lepton_registry.datasets import store as datasets
from lepton_registry.events import outbox
from lepton_registry.recipes import store as recipes
from lepton_registry.runs.states import ENDED, RunState
from lepton_registry.runs.tables import RunRow

RUNS = table(RunRow)
CLIENT_NAMESPACE = "client"
MAX_KEY_CHARS = 256
_BY_KEY = sa.select(RUNS).where(
    RUNS.c.project == sa.bindparam("project"),
    RUNS.c.key_namespace == sa.bindparam("key_namespace"),
    RUNS.c.idempotency_key == sa.bindparam("idempotency_key"),
)
# What every new run has in common; Core inserts name each column.
_FRESH = {
    "state": RunState.QUEUED,
    "cancel_requested": False,
    "reason": "",
    "attempts": 0,
    "current_attempt_id": "",
    "progress": 0.0,
    "metrics_json": "{}",
    "model_version_id": "",
    "model_version": 0,
    "started_at_us": 0,
    "finished_at_us": 0,
    "retries_spent": 0,
    "lost_in_a_row": 0,
}


@dataclass(frozen=True, slots=True)
class Key:
    """Under which a submission is known for ever; `digest` is of what the client set."""

    namespace: str
    key: str
    digest: str

    def __post_init__(self) -> None:
        for field, value in (("key_namespace", self.namespace), ("idempotency_key", self.key)):
            if not 0 < len(value) <= MAX_KEY_CHARS:
                raise invalid(field, "empty or too long", value, f"1 to {MAX_KEY_CHARS} characters")
        if not self.digest:
            raise invalid("request_digest", "required")


@dataclass(frozen=True, slots=True)
class Submission:
    """A validated job. `recipe` and its exact version are empty for a script."""

    project: str
    key: Key
    spec: JobSpec
    body: dict[str, Any]
    recipe: str
    recipe_version: str
    created_by: str
    retry_of: str = ""


def parse_submission(
    project: str, key: Key, spec_json: str, recipe: str, recipe_version: str, created_by: str
) -> Submission:
    """The gateway has validated the job against the catalogue; here its form, and that the pinned recipe is its own."""
    spec = parse_job(spec_json)
    check_submittable(spec)
    if recipe != spec.recipe_name or bool(recipe) != bool(recipe_version):
        raise invalid(
            "recipe", "does not agree with the spec", f"{recipe}@{recipe_version}", f"a version of {spec.recipe!r}"
        )
    return Submission(project, key, spec, json.loads(spec_json), recipe, recipe_version, created_by)


def submit(conn: sa.Connection, job: Submission) -> tuple[sa.Row[Any], bool]:
    """The run of this key, and whether it is new. What `@latest` means is settled here, in the transaction."""
    try:
        values = _values(conn, job)
    except LeptonError:
        # A known key answers before validation: the catalogue or the dataset may have moved since.
        known = find_by_key(conn, job.project, job.key)
        if known is None:
            raise
        return known, False
    row = insert_new_row(conn, RUNS, values)
    if row is not None:
        told = {"name": row.name, "recipe": row.recipe, "created_by": row.created_by}
        outbox.write(conn, row.project, "run.queued", row.id, told, row.created_at_us)
        return row, True
    known = find_by_key(conn, job.project, job.key)
    assert known is not None
    return known, False


def _values(conn: sa.Connection, job: Submission) -> dict[str, Any]:
    spec, body = job.spec, job.body
    dataset = None
    if spec.data:
        dataset = datasets.resolve(conn, job.project, spec.data, field="data", missing=ErrorCode.INVALID)
        body = body | {"data": f"{dataset.dataset}@{dataset.version}"}
    if job.recipe:
        recipes.require(conn, job.recipe, job.recipe_version)
        body = body | {"recipe": f"{job.recipe}@{job.recipe_version}"}
    if spec.script:
        artifacts.require_manifest(conn, job.project, spec.script.code, field="script.code", missing=ErrorCode.INVALID)
    return _FRESH | {
        "id": new_id("run"),
        "project": job.project,
        "name": spec.name,
        "spec_json": canonical_json(body),
        "key_namespace": job.key.namespace,
        "idempotency_key": job.key.key,
        "request_digest": job.key.digest,
        "recipe": job.recipe,
        "recipe_version": job.recipe_version,
        "ranks": spec.resources.ranks,
        "dataset_version_id": dataset.id if dataset else "",
        "dataset": dataset.dataset if dataset else "",
        "dataset_version": dataset.version if dataset else 0,
        "data_digest": dataset.digest if dataset else "",
        "code_digest": spec.script.code if spec.script else "",
        "model": spec.register.model if spec.register else "",
        "created_by": job.created_by,
        "created_at_us": now_us(),
        "retries": spec.retries,
        "retry_of": job.retry_of,
    }


def find_by_key(conn: sa.Connection, project: str, key: Key) -> sa.Row[Any] | None:
    """The run of a known key; CONFLICT if it was used for another body."""
    found = conn.execute(
        _BY_KEY, {"project": project, "key_namespace": key.namespace, "idempotency_key": key.key}
    ).first()
    if found is not None and found.request_digest != key.digest:
        raise LeptonError(
            ErrorCode.CONFLICT,
            f"the idempotency key {key.key!r} was used for another job (run {found.id}); take a new key",
        )
    return found


def get(conn: sa.Connection, project: str, run_id: str) -> sa.Row[Any]:
    found = conn.execute(sa.select(RUNS).where(RUNS.c.project == project, RUNS.c.id == run_id)).first()
    if found is None:
        raise LeptonError(ErrorCode.NOT_FOUND, f"there is no run {run_id!r}")
    return found


def list_runs(
    conn: sa.Connection, project: str, *, state: RunState | None, before: str, limit: int
) -> list[sa.Row[Any]]:
    """Newest first; `before` is the id of the last one seen."""
    statement = sa.select(RUNS).where(RUNS.c.project == project)
    if state is not None:
        statement = statement.where(RUNS.c.state == state)
    if before:
        statement = statement.where(RUNS.c.id < before)
    return list(conn.execute(statement.order_by(RUNS.c.id.desc()).limit(limit)))


def cancel(conn: sa.Connection, project: str, run_id: str, by: str) -> sa.Row[Any]:
    """A queued run ends at once; a running one when its worker has heard. Cancelling twice changes nothing."""
    mine = sa.and_(RUNS.c.project == project, RUNS.c.id == run_id)
    ended = conn.execute(
        sa.update(RUNS)
        .where(mine, RUNS.c.state == RunState.QUEUED)
        .values(state=RunState.CANCELLED, cancel_requested=True, reason="cancelled on request", finished_at_us=now_us())
        .returning(*RUNS.c)
    ).first()
    if ended is not None:
        outbox.write(conn, project, "run.cancelled", run_id, {"name": ended.name, "by": by})
        return ended
    asked = conn.execute(
        sa.update(RUNS)
        .where(mine, RUNS.c.state == RunState.RUNNING, RUNS.c.cancel_requested.is_(False))
        .values(cancel_requested=True)
        .returning(*RUNS.c)
    ).first()
    if asked is not None:
        outbox.write(conn, project, "run.cancel_requested", run_id, {"name": asked.name, "by": by})
        return asked
    run = get(conn, project, run_id)
    if run.state in (RunState.SUCCEEDED, RunState.FAILED):
        raise LeptonError(ErrorCode.FAILED_PRECONDITION, f"run {run_id} has already ended: it {run.state}")
    return run


def retry(conn: sa.Connection, project: str, run_id: str, idempotency_key: str, by: str) -> tuple[sa.Row[Any], bool]:
    """The same spec, with the same exact versions, as a new run."""
    run = get(conn, project, run_id)
    if run.state not in ENDED:
        raise LeptonError(ErrorCode.FAILED_PRECONDITION, f"run {run_id} has not ended: it is {run.state}")
    key = Key(CLIENT_NAMESPACE, idempotency_key, f"retry:{digest_of(run_id.encode())}")
    job = parse_submission(project, key, run.spec_json, run.recipe, run.recipe_version, by)
    return submit(conn, replace(job, retry_of=run_id))


def references(manifests: sa.Table) -> sa.ColumnElement[bool]:
    """Whether a run's code needs a row of `manifests`; collection asks."""
    return sa.exists().where(RUNS.c.project == manifests.c.project, RUNS.c.code_digest == manifests.c.digest)
