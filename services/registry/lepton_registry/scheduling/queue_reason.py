"""Why a run waits, when no worker that lives could take it: who submitted it would wait in vain."""

from typing import Any

import sqlalchemy as sa

from lepton_core.api.runs import UNTAKEN
from lepton_registry.database.engine import table
from lepton_registry.runs.states import RunState
from lepton_registry.workers import store as workers
from lepton_registry.workers.tables import WorkerRecipeRow

WORKER_RECIPES = table(WorkerRecipeRow)


def reason(conn: sa.Connection, run: sa.Row[Any]) -> str:
    """The run's reason; of one that waits and cannot be taken now, also why."""
    found = _obstacle(conn, run) if run.state == RunState.QUEUED else ""
    if not found:
        return str(run.reason)
    told = f"{UNTAKEN}: {found}"
    return f"{told} (before: {run.reason})" if run.reason else told


def _obstacle(conn: sa.Connection, run: sa.Row[Any]) -> str:
    """Empty when some worker could take the run, and is only busy."""
    alive = [worker for worker in workers.list_workers(conn) if workers.is_alive(worker)]
    if not alive:
        return "none is up"
    if run.recipe:
        offering = sa.select(WORKER_RECIPES.c.worker_id).where(
            WORKER_RECIPES.c.recipe == run.recipe, WORKER_RECIPES.c.version == run.recipe_version
        )
        ids = set(conn.scalars(offering))
        able = [worker for worker in alive if worker.id in ids]
        missing = f"none that is up has the recipe {run.recipe}@{run.recipe_version}"
    elif run.isolated:
        able = [worker for worker in alive if worker.accepts_scripts and worker.isolates_scripts]
        missing = "none that is up runs scripts as a user of their own"
    else:
        able = [worker for worker in alive if worker.accepts_scripts]
        missing = "none that is up accepts scripts"
    if not able:
        return missing
    most = max(worker.max_ranks for worker in able)
    if run.ranks > most:
        return f"it needs {run.ranks} ranks, and none has room for more than {most}"
    roomy = [worker for worker in able if worker.max_ranks >= run.ranks]
    return "" if any(not worker.draining for worker in roomy) else "those that could are draining"
