"""Why a run waits: its place in the queue, or the reason why no worker that is up can ever take it."""

from typing import Any

import sqlalchemy as sa

from lepton_core.api.runs import MAX_PLACE
from lepton_core.causes import WaitingCause
from lepton_core.errors import Cause
from lepton_registry.database.engine import table
from lepton_registry.runs.states import RunState
from lepton_registry.runs.tables import QUEUED, RunRow
from lepton_registry.workers import store as workers
from lepton_registry.workers.tables import WorkerRecipeRow

RUNS = table(RunRow)
WORKER_RECIPES = table(WorkerRecipeRow)


def waiting_reason(conn: sa.Connection, run: sa.Row[Any]) -> Cause | None:
    """None for a run that is not queued."""
    if run.state != RunState.QUEUED:
        return None
    return _obstacle(conn, run) or _place(conn, run)


def _place(conn: sa.Connection, run: sa.Row[Any]) -> Cause:
    """The place among all queued runs, of which each worker takes the oldest that it can run."""
    older = sa.tuple_(RUNS.c.created_at_us, RUNS.c.id) < sa.tuple_(sa.literal(run.created_at_us), sa.literal(run.id))
    ahead = sa.select(RUNS.c.id).where(QUEUED, older).limit(MAX_PLACE - 1).subquery()
    place = conn.execute(sa.select(sa.func.count()).select_from(ahead)).scalar_one() + 1
    return Cause(WaitingCause.QUEUED, {"place": place}, f"place {place} in the queue")


def _obstacle(conn: sa.Connection, run: sa.Row[Any]) -> Cause | None:
    """The reason why no worker can take the run; None if a worker could, but is busy."""
    alive = [worker for worker in workers.list_workers(conn) if workers.is_alive(worker)]
    if not alive:
        return Cause(WaitingCause.NO_WORKER, {}, "no worker is up")
    if run.recipe:
        versions = _versions(conn, run.recipe)
        able = [worker for worker in alive if run.recipe_version in versions.get(worker.id, ())]
        offered = sorted({version for worker in alive for version in versions.get(worker.id, ())})
        missing = _no_recipe(run, offered)
    elif run.isolated:
        able = [worker for worker in alive if worker.accepts_scripts and worker.isolates_scripts]
        message = "no worker that is up runs scripts as a separate user"
        missing = Cause(WaitingCause.NO_WORKER_FOR_ISOLATED_SCRIPTS, {}, message)
    else:
        able = [worker for worker in alive if worker.accepts_scripts]
        missing = Cause(WaitingCause.NO_WORKER_FOR_SCRIPTS, {}, "no worker that is up accepts scripts")
    if not able:
        return missing
    most = max(worker.max_ranks for worker in able)
    if run.ranks > most:
        return Cause(
            WaitingCause.NOT_ENOUGH_RANKS,
            {"needed": run.ranks, "most": most},
            f"it needs {run.ranks} ranks, and no worker has room for more than {most}",
        )
    if all(worker.draining for worker in able if worker.max_ranks >= run.ranks):
        return Cause(WaitingCause.WORKERS_DRAINING, {}, "the workers that could run it are draining")
    return None


def _versions(conn: sa.Connection, recipe: str) -> dict[str, set[str]]:
    """Worker id → the versions of the recipe that it has announced."""
    statement = sa.select(WORKER_RECIPES.c.worker_id, WORKER_RECIPES.c.version).where(WORKER_RECIPES.c.recipe == recipe)
    found: dict[str, set[str]] = {}
    for row in conn.execute(statement):
        found.setdefault(row.worker_id, set()).add(row.version)
    return found


def _no_recipe(run: sa.Row[Any], offered: list[str]) -> Cause:
    """A run keeps its version, since another one may train another model. After an upgrade, its owner has to choose."""
    message = f"no worker that is up has the recipe {run.recipe}@{run.recipe_version}"
    if offered:
        others = ", ".join(f"{run.recipe}@{version}" for version in offered)
        message += f", but there is {others}: cancel this run and submit the job with that version"
    parameters = {"recipe": run.recipe, "version": run.recipe_version, "offered": offered}
    return Cause(WaitingCause.NO_WORKER_WITH_RECIPE, parameters, message)
