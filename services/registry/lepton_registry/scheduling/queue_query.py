"""Finds the queued run for a worker."""

from typing import Any

import sqlalchemy as sa

from lepton_core.jobs.spec import MAX_RANKS
from lepton_registry.database.engine import table
from lepton_registry.runs.tables import QUEUED, RunRow
from lepton_registry.workers.tables import WorkerRecipeRow

RUNS = table(RunRow)
WORKER_RECIPES = table(WorkerRecipeRow)
_ORDER = (RUNS.c.created_at_us, RUNS.c.id)
_ANY = sa.select(RUNS.c.id).where(QUEUED).limit(1)


def any_waits(conn: sa.Connection) -> bool:
    return conn.execute(_ANY).first() is not None


def oldest_for(conn: sa.Connection, worker: sa.Row[Any]) -> sa.Row[Any] | None:
    """The oldest of the queued runs that this worker can run.

    One index access for each recipe and number of ranks that it supports, so other queued runs cost nothing.
    """
    values = {"worker_id": worker.id, "most_ranks": min(worker.max_ranks, MAX_RANKS)}
    if not worker.accepts_scripts:
        return conn.execute(_RECIPES_ONLY, values).first()
    return conn.execute(_ALL_SCRIPTS if worker.isolates_scripts else _TRUSTED_SCRIPTS, values).first()


def _oldest(*scripts: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """`scripts`: which scripts the worker takes: isolated ones, others, or both."""
    announced = sa.select(WORKER_RECIPES.c.recipe, WORKER_RECIPES.c.version, sa.false().label("isolated")).where(
        WORKER_RECIPES.c.worker_id == sa.bindparam("worker_id")
    )
    none = sa.literal_column("''", sa.String)
    lines = [sa.select(none.label("recipe"), none.label("version"), isolated.label("isolated")) for isolated in scripts]
    recipes = sa.union_all(announced, *lines).subquery("recipes")
    most = sa.bindparam("most_ranks", type_=sa.Integer)
    sizes = sa.select(sa.literal_column("1").label("ranks")).cte("sizes", recursive=True)
    sizes = sizes.union_all(sa.select(sizes.c.ranks + 1).where(sizes.c.ranks < most))
    head = (
        sa.select(RUNS.c.id)
        .where(
            QUEUED,
            RUNS.c.recipe == recipes.c.recipe,
            RUNS.c.recipe_version == recipes.c.version,
            RUNS.c.isolated == recipes.c.isolated,
            RUNS.c.ranks == sizes.c.ranks,
        )
        .order_by(*_ORDER)
        .limit(1)
        .correlate(recipes, sizes)
        .scalar_subquery()
    )
    heads = sa.select(head.label("id")).select_from(recipes.join(sizes, sa.true())).subquery("heads")
    return sa.select(RUNS).join(heads, RUNS.c.id == heads.c.id).order_by(*_ORDER).limit(1)


_RECIPES_ONLY, _TRUSTED_SCRIPTS, _ALL_SCRIPTS = _oldest(), _oldest(sa.false()), _oldest(sa.false(), sa.true())
