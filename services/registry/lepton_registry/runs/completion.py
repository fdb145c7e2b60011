"""The end of an attempt: state, model version, lineage and events in one transaction."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from lepton_core.errors import Cause, ErrorCode, LeptonError, invalid
from lepton_core.ids import check_digest, digest_of
from lepton_registry.artifacts import store as artifacts
from lepton_registry.artifacts.manifest import FileLike
from lepton_registry.database.engine import table
from lepton_registry.lineage import edges
from lepton_registry.models import aliases
from lepton_registry.models import store as models
from lepton_registry.models.package import Package
from lepton_registry.runs import attempts, input_lineage, search_index
from lepton_registry.runs.states import REPORTED, AttemptState
from lepton_registry.runs.tables import RunResultRow, RunRow

RUNS = table(RunRow)
RESULTS = table(RunResultRow)


# Reads the files of a model package of the project, and checks them.
Inspect = Callable[[str, Sequence[FileLike]], Awaitable[Package]]


@dataclass(frozen=True, slots=True)
class Report:
    """A worker's report about an attempt. `digest` is of the whole request: a repeated one succeeds again."""

    attempt_id: str
    outcome: AttemptState
    digest: str
    reason: str = ""
    final: bool = False
    cause: Cause | None = None
    metrics_json: str = "{}"
    evaluation_json: str = "{}"
    statistics_json: str = "{}"
    environment_json: str = "{}"
    code_digest: str = ""
    package: Package | None = None
    # What the programs left, of an attempt that failed.
    files: Sequence[FileLike] = ()


def finish(conn: sa.Connection, report: Report, followers: Sequence[aliases.AliasFollowers] = ()) -> sa.Row[Any]:
    """Ends the attempt; returns the run. Raises STALE_ATTEMPT if the attempt is no longer running, unless the same
    report ended it."""
    if report.outcome not in REPORTED:
        raise invalid("outcome", "cannot be reported by a worker", report.outcome, ", ".join(sorted(REPORTED)))
    attempt = attempts.find(conn, report.attempt_id)
    if attempt is None:
        raise attempts.stale(report.attempt_id, "unknown")
    # Locked first, so that the attempt's state, a cancel and the model's name cannot change until the end. The attempt
    # is read again afterwards, since a repetition of this report may have been handled meanwhile.
    run = attempts.lock_run(conn, attempt.run_id)
    attempt = attempts.find(conn, report.attempt_id) or attempt
    if attempt.state != AttemptState.RUNNING:
        # The digest recognises a repetition after a lost answer, which must succeed.
        if attempt.finish_digest != report.digest:
            raise attempts.stale(report.attempt_id, attempt.state)
        return run
    # Otherwise a worker could end a run of a user without a request.
    if report.outcome is AttemptState.CANCELLED and not run.cancel_requested:
        raise LeptonError(ErrorCode.FAILED_PRECONDITION, f"no cancel of run {run.id} was requested")
    values: dict[str, Any] = {}
    if report.outcome is AttemptState.SUCCEEDED:
        if run.cancel_requested:
            raise LeptonError(ErrorCode.FAILED_PRECONDITION, f"run {run.id} is being cancelled: report it as cancelled")
        values = _succeed(conn, run, report, followers)
    ended = attempts.end(
        conn,
        attempt,
        report.outcome,
        report.reason,
        final=report.final,
        cause=report.cause,
        finish_digest=report.digest,
        files_digest=_commit_files(conn, attempt, report),
        run_values=values,
    )
    if ended is None:
        raise attempts.stale(report.attempt_id, "ended meanwhile")
    return _run(conn, attempt.run_id)


def _commit_files(conn: sa.Connection, attempt: sa.Row[Any], report: Report) -> str:
    """The digest of the manifest of what the attempt left; empty for nothing."""
    return artifacts.commit_manifest(conn, attempt.project, report.files).digest if report.files else ""


def _run(conn: sa.Connection, run_id: str) -> sa.Row[Any]:
    return conn.execute(sa.select(RUNS).where(RUNS.c.id == run_id)).one()


def _succeed(
    conn: sa.Connection, run: sa.Row[Any], report: Report, followers: Sequence[aliases.AliasFollowers]
) -> dict[str, Any]:
    """Writes the results of a success, except the change of state; returns further columns of the run."""
    values: dict[str, Any] = {"metrics_json": report.metrics_json, "progress": 1.0}
    if run.model and report.package is None and run.recipe:
        raise invalid(("result", "package"), f"the job registers its model as {run.model!r}, and the package is empty")
    result = {
        "run_id": run.id,
        "project": run.project,
        "evaluation_json": report.evaluation_json,
        "statistics_json": report.statistics_json,
        "environment_json": report.environment_json,
        "code_digest": report.code_digest or run.code_digest,
    }
    conn.execute(sa.insert(RESULTS), result)
    search_index.record_result(conn, run.project, run.id, json.loads(report.metrics_json))
    _record_environment(conn, run, report)
    if run.model and report.package is not None:
        values |= _register(conn, run, report, report.package, followers)
    return values


def _register(
    conn: sa.Connection,
    run: sa.Row[Any],
    report: Report,
    package: Package,
    followers: Sequence[aliases.AliasFollowers],
) -> dict[str, Any]:
    # Project and model name are taken from the run, not from the worker's message.
    version, _ = models.register_version(
        conn,
        run.project,
        model=run.model,
        files=package.files,
        signature_json=package.signature_json,
        card_json=package.card_json,
        metrics_json=report.metrics_json,
        evaluation_json=report.evaluation_json,
        run_id=run.id,
        created_by=run.created_by,
    )
    alias = (json.loads(run.spec_json).get("register") or {}).get("alias")
    if alias:
        aliases.set_alias(
            conn,
            run.project,
            model=run.model,
            alias=alias,
            version=version.version,
            expected_version=0,
            updated_by=run.created_by,
            followers=followers,
        )
    return {"model_version_id": version.id, "model_version": version.version}


def _record_environment(conn: sa.Connection, run: sa.Row[Any], report: Report) -> None:
    environment = json.loads(report.environment_json)
    found, nodes = [], []
    if environment:
        node_id = f"env:{digest_of(report.environment_json.encode())}"
        facts = {name: value for name, value in environment.items() if isinstance(value, (str, int, float))}
        nodes.append(edges.Node(node_id, "environment", str(environment.get("platform", "environment"))[:128], facts))
        found.append(edges.Edge(run.id, "ran_in", node_id))
    if report.code_digest and report.code_digest != run.code_digest:
        code = f"code:{check_digest(report.code_digest, 'result.code_digest')}"
        name = f"{run.recipe}@{run.recipe_version}" if run.recipe else run.name
        nodes.append(edges.Node(code, "code", name, {"digest": report.code_digest}))
        found.append(edges.Edge(run.id, "executed", code))
    facts = input_lineage.facts(dict(run._mapping)) | {"metrics": json.loads(report.metrics_json)}
    nodes.append(edges.Node(run.id, "run", run.name, facts))
    edges.record(conn, run.project, found, nodes)
