"""Makes runs of jobs: exactly one for each idempotency key, also of repeated and simultaneous submissions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from lepton_core.api.limits import MAX_IDEMPOTENCY_KEY_CHARS
from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.ids import new_id
from lepton_core.jobs.spec import JobSpec, ScriptSpec, check_submittable, parse_job
from lepton_core.validation import canonical_json, read_document
from lepton_registry.artifacts import store as artifacts
from lepton_registry.database.engine import insert_new_rows, now_us, table
from lepton_registry.datasets import store as datasets
from lepton_registry.events import outbox
from lepton_registry.recipes import store as recipes
from lepton_registry.runs import input_lineage, search_index
from lepton_registry.runs.states import RunState
from lepton_registry.runs.tables import RunRow

RUNS = table(RunRow)
CLIENT_NAMESPACE = "client"
_BY_KEY = sa.select(RUNS).where(
    RUNS.c.project == sa.bindparam("project"),
    RUNS.c.key_namespace == sa.bindparam("key_namespace"),
    RUNS.c.idempotency_key == sa.bindparam("idempotency_key"),
)
# Columns that are equal in all new runs; inserts need a value for each column.
_FRESH = {
    "state": RunState.QUEUED.value,
    "cancel_requested": False,
    "reason": "",
    "cause_json": "",
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

Values = Mapping[str, Any]
# The columns of the key's run and whether it is new, or the error for the job.
Outcome = tuple[Values, bool] | LeptonError


@dataclass(frozen=True, slots=True)
class Key:
    """Identifies a submission; `digest` is of the fields that the client set."""

    namespace: str
    key: str
    digest: str

    def __post_init__(self) -> None:
        for field, value in (("key_namespace", self.namespace), ("idempotency_key", self.key)):
            if not 0 < len(value) <= MAX_IDEMPOTENCY_KEY_CHARS:
                raise invalid(field, "empty or too long", value, f"1 to {MAX_IDEMPOTENCY_KEY_CHARS} characters")
        if not self.digest:
            raise invalid("request_digest", "required")


@dataclass(frozen=True, slots=True)
class Submission:
    """A validated job. For a script, `recipe` and its version are empty."""

    project: str
    key: Key
    spec: JobSpec
    body: dict[str, Any]
    recipe: str
    recipe_version: str
    created_by: str
    retry_of: str = ""
    isolated: bool = False


def parse_submission(
    project: str, key: Key, spec_json: str, recipe: str, recipe_version: str, created_by: str, *, isolated: bool = False
) -> Submission:
    """Checks the form of a job, and that the pinned recipe is the job's. The gateway has validated the settings."""
    spec = parse_job(spec_json)
    check_submittable(spec)
    if recipe != spec.recipe_name or bool(recipe) != bool(recipe_version):
        raise invalid(
            "recipe", "does not agree with the spec", f"{recipe}@{recipe_version}", f"a version of {spec.recipe!r}"
        )
    if isolated and not spec.script:
        raise invalid("isolated", "recipes are code of the worker, so they are not isolated", isolated, "scripts only")
    body = read_document(spec_json, "spec")
    return Submission(project, key, spec, body, recipe, recipe_version, created_by, isolated=isolated)


def submit(conn: sa.Connection, job: Submission) -> tuple[sa.Row[Any], bool]:
    """Returns the run of the key, and whether it is new."""
    [outcome] = submit_all(conn, [job])
    if isinstance(outcome, LeptonError):
        raise outcome
    values, created = outcome
    return conn.execute(sa.select(RUNS).where(RUNS.c.id == values["id"])).one(), created


def submit_all(conn: sa.Connection, jobs: Sequence[Submission]) -> list[Outcome]:
    """Returns an outcome for each job. References such as `@latest` are resolved here, in the transaction.

    The number of statements, which are the main cost, does not depend on the number of jobs.
    """
    referred = _Referred(conn)
    drafts = [_draft(referred, job) for job in jobs]
    rows = [draft for draft in drafts if not isinstance(draft, LeptonError)]
    # In the order of keys, so that transactions that insert the same keys cannot deadlock.
    rows.sort(key=lambda row: (row["project"], row["key_namespace"], row["idempotency_key"]))
    # The unique key decides which jobs are new, also against other transactions; known keys are read afterwards.
    new = _insert(conn, rows)
    fresh = [row for row in rows if row["id"] in new]
    input_lineage.record(conn, fresh)
    search_index.record_submitted(
        conn,
        [
            (job.project, draft["id"], job.body)
            for job, draft in zip(jobs, drafts, strict=True)
            if not isinstance(draft, LeptonError) and draft["id"] in new
        ],
    )
    outbox.write_all(conn, [_queued(row) for row in fresh])
    return [_outcome(conn, job, draft, new) for job, draft in zip(jobs, drafts, strict=True)]


def _insert(conn: sa.Connection, rows: Sequence[Values]) -> set[str]:
    """The jobs whose key is new, by run id."""
    ids = {row["id"] for row in rows}
    if insert_new_rows(conn, RUNS, rows) == len(rows):
        return ids
    return set(conn.scalars(sa.select(RUNS.c.id).where(RUNS.c.id.in_(ids))))


def _queued(row: Values) -> outbox.Event:
    data = {"name": row["name"], "recipe": row["recipe"], "created_by": row["created_by"]}
    return outbox.Event(row["project"], "run.queued", row["id"], data, row["created_at_us"])


def _outcome(conn: sa.Connection, job: Submission, draft: Values | LeptonError, new: set[str]) -> Outcome:
    if not isinstance(draft, LeptonError) and draft["id"] in new:
        return draft, True
    try:
        known = find_by_key(conn, job.project, job.key)
    except LeptonError as conflict:
        return conflict
    if known is not None:
        # A known key returns its run without validation: the catalogue or the dataset may have changed since.
        return dict(known._mapping), False
    assert isinstance(draft, LeptonError)
    return draft


class _Referred:
    """Looks up what jobs refer to, once in a transaction: jobs of one batch often refer to the same resources."""

    def __init__(self, conn: sa.Connection) -> None:
        self._conn = conn
        self._datasets: dict[tuple[str, str], sa.Row[Any]] = {}
        self._recipes: set[tuple[str, str]] = set()

    def dataset(self, project: str, reference: str) -> sa.Row[Any]:
        found = self._datasets.get((project, reference))
        if found is None:
            found = datasets.resolve(self._conn, project, reference, field="data", missing=ErrorCode.INVALID)
            self._datasets[project, reference] = found
        return found

    def require_recipe(self, name: str, version: str) -> None:
        if (name, version) not in self._recipes:
            recipes.require(self._conn, name, version)
            self._recipes.add((name, version))

    def require_code(self, project: str, script: ScriptSpec) -> None:
        folder = artifacts.require_manifest(
            self._conn, project, script.code, field="script.code", missing=ErrorCode.INVALID
        )
        for name, path in (("entry", script.entry), ("requirements", script.requirements)):
            if path:
                artifacts.require_file(self._conn, folder, path, f"script.{name}")


def _draft(referred: _Referred, job: Submission) -> dict[str, Any] | LeptonError:
    try:
        return _values(referred, job)
    except LeptonError as error:
        return error


def _values(referred: _Referred, job: Submission) -> dict[str, Any]:
    spec, body = job.spec, job.body
    dataset = None
    if spec.data:
        dataset = referred.dataset(job.project, spec.data)
        body = body | {"data": f"{dataset.dataset}@{dataset.version}"}
    if job.recipe:
        referred.require_recipe(job.recipe, job.recipe_version)
        body = body | {"recipe": f"{job.recipe}@{job.recipe_version}"}
    if spec.script:
        referred.require_code(job.project, spec.script)
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
        "isolated": job.isolated,
    }


def find_by_key(conn: sa.Connection, project: str, key: Key) -> sa.Row[Any] | None:
    """The run of a known key. Raises CONFLICT if the key was used for another job."""
    found = conn.execute(
        _BY_KEY, {"project": project, "key_namespace": key.namespace, "idempotency_key": key.key}
    ).first()
    if found is not None and found.request_digest != key.digest:
        raise LeptonError(
            ErrorCode.CONFLICT,
            f"the idempotency key {key.key!r} was used for another job (run {found.id}); use a new key",
        )
    return found
