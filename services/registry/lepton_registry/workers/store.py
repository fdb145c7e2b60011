"""Workers: registration, and the check of the incarnation that may claim."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.ids import check_id
from lepton_registry.database.engine import now_us, table
from lepton_registry.recipes import store as recipes
from lepton_registry.recipes.store import Announced
from lepton_registry.workers.tables import WorkerRecipeRow, WorkerRow

WORKERS = table(WorkerRow)
WORKER_RECIPES = table(WorkerRecipeRow)
ALIVE_US = 60_000_000
# Every claim runs this: built once, since building a statement costs more than running it.
_SEEN = (
    sa.update(WORKERS)
    .where(WORKERS.c.id == sa.bindparam("worker"), WORKERS.c.incarnation == sa.bindparam("current"))
    .values(seen_at_us=sa.bindparam("now"))
    .returning(*WORKERS.c)
)


@dataclass(frozen=True)
class Announcement:
    id: str
    hostname: str
    incarnation: int
    recipes: Sequence[Announced]
    accepts_scripts: bool
    max_ranks: int
    gpus: int
    isolates_scripts: bool = False


def register(conn: sa.Connection, worker: Announcement) -> sa.Row[Any]:
    """Registers an incarnation: its number must be greater than all earlier ones, or equal if the call is repeated."""
    check_id(worker.id, "wrk", "id")
    if worker.max_ranks < 1:
        raise invalid("max_ranks", "a worker needs room for at least one rank", worker.max_ranks, "1 or more")
    known = conn.execute(sa.select(WORKERS).where(WORKERS.c.id == worker.id).with_for_update()).first()
    if worker.incarnation < 1 or (known is not None and known.incarnation > worker.incarnation):
        newest = known.incarnation if known else 1
        raise LeptonError(
            ErrorCode.FAILED_PRECONDITION, f"incarnation {worker.incarnation} of {worker.id} is not newer than {newest}"
        )
    values = {
        "hostname": worker.hostname[:255],
        "incarnation": worker.incarnation,
        "accepts_scripts": worker.accepts_scripts,
        "max_ranks": worker.max_ranks,
        "gpus": worker.gpus,
        "isolates_scripts": worker.isolates_scripts,
        "registered_at_us": now_us(),
        "seen_at_us": now_us(),
        "draining": False,
    }
    if known is None:
        conn.execute(sa.insert(WORKERS), values | {"id": worker.id})
    else:
        conn.execute(sa.update(WORKERS).where(WORKERS.c.id == worker.id).values(values))
    for at, recipe in enumerate(worker.recipes):
        recipes.announce(conn, recipe, f"recipes[{at}]")
    conn.execute(sa.delete(WORKER_RECIPES).where(WORKER_RECIPES.c.worker_id == worker.id))
    pairs = {(recipe.name, recipe.version) for recipe in worker.recipes}
    if pairs:
        rows = [{"worker_id": worker.id, "recipe": name, "version": version} for name, version in sorted(pairs)]
        conn.execute(sa.insert(WORKER_RECIPES), rows)
    return conn.execute(sa.select(WORKERS).where(WORKERS.c.id == worker.id)).one()


def require_incarnation(conn: sa.Connection, worker_id: str, incarnation: int) -> sa.Row[Any]:
    """Marks the worker as seen. Raises FAILED_PRECONDITION unless this incarnation is the last registered one."""
    row = conn.execute(_SEEN, {"worker": worker_id, "current": incarnation, "now": now_us()}).first()
    if row is None:
        raise LeptonError(
            ErrorCode.FAILED_PRECONDITION,
            f"incarnation {incarnation} of worker {worker_id!r} is not the last registered one",
        )
    return row


def seen(conn: sa.Connection, worker_id: str) -> bool:
    """Records that the worker is alive; returns whether it is draining."""
    statement = sa.update(WORKERS).where(WORKERS.c.id == worker_id).values(seen_at_us=now_us())
    return bool(conn.scalar(statement.returning(WORKERS.c.draining)))


def drain(conn: sa.Connection, worker_id: str) -> sa.Row[Any]:
    """Refuses its claims, and answers its heartbeats with "drain", until the worker registers again."""
    row = conn.execute(
        sa.update(WORKERS).where(WORKERS.c.id == worker_id).values(draining=True).returning(*WORKERS.c)
    ).first()
    if row is None:
        raise LeptonError(ErrorCode.NOT_FOUND, f"there is no worker {worker_id!r}")
    return row


def list_workers(conn: sa.Connection) -> list[sa.Row[Any]]:
    return list(conn.execute(sa.select(WORKERS).order_by(WORKERS.c.registered_at_us)))


def announced(conn: sa.Connection) -> dict[str, list[str]]:
    """Worker id → "recipe@version" of each."""
    found: dict[str, list[str]] = {}
    for row in conn.execute(sa.select(WORKER_RECIPES).order_by(WORKER_RECIPES.c.recipe, WORKER_RECIPES.c.version)):
        found.setdefault(row.worker_id, []).append(f"{row.recipe}@{row.version}")
    return found


def is_alive(row: sa.Row[Any]) -> bool:
    return bool(row.seen_at_us > now_us() - ALIVE_US)
