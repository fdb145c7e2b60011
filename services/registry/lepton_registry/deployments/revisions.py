"""Revisions: a new one becomes the desired one; reports of replicas make it ready, failed or retired."""

from typing import Any

import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.ids import new_id
from lepton_registry.database.engine import change_row, now_us, table
from lepton_registry.deployments.tables import DeploymentRow, RevisionRow, ServingStateRow
from lepton_registry.events import outbox
from lepton_registry.lineage import edges

DEPLOYMENTS = table(DeploymentRow)
REVISIONS = table(RevisionRow)
SERVING = table(ServingStateRow)
PENDING, READY, FAILED, RETIRED = "pending", "ready", "failed", "retired"
MAX_REASON_CHARS = 2000
_GENERATION = "serving"


def add_revision(conn: sa.Connection, deployment: sa.Row[Any], version: sa.Row[Any], created_by: str) -> sa.Row[Any]:
    """Makes a revision of `version` the desired one, and retires earlier pending ones. Returns the deployment's row."""
    number = conn.scalar(
        sa.update(DEPLOYMENTS)
        .where(DEPLOYMENTS.c.id == deployment.id)
        .values(revisions=DEPLOYMENTS.c.revisions + 1)
        .returning(DEPLOYMENTS.c.revisions)
    )
    values = {
        "id": new_id("rev"),
        "project": deployment.project,
        "deployment_id": deployment.id,
        "number": number,
        "model_version_id": version.id,
        "model": version.model,
        "model_version": version.version,
        "model_digest": version.digest,
        "state": PENDING,
        "reason": "",
        "created_by": created_by,
        "created_at_us": now_us(),
    }
    conn.execute(sa.insert(REVISIONS), values)
    _retire(conn, deployment.id, number, (PENDING,))
    facts = {"deployment": deployment.name, "number": number, "model": version.model, "model_version": version.version}
    node = edges.Node(values["id"], "revision", f"{deployment.name}#{number}", facts)
    edges.record(conn, deployment.project, [edges.Edge(values["id"], "serves", version.id)], [node])
    outbox.write(conn, deployment.project, "revision.created", values["id"], facts)
    bump_generation(conn)
    return conn.execute(
        sa.update(DEPLOYMENTS)
        .where(DEPLOYMENTS.c.id == deployment.id)
        .values(desired_id=values["id"], updated_at_us=values["created_at_us"])
        .returning(*DEPLOYMENTS.c)
    ).one()


def report(conn: sa.Connection, *, revision_id: str, replica_id: str, state: str, reason: str) -> None:
    """Handles a replica's report that a revision is loaded (ready) or cannot be (failed). Reports may be repeated or
    late."""
    if state not in (READY, FAILED):
        raise invalid("state", "cannot be reported by a replica", state, f"{READY} or {FAILED}")
    revision = conn.execute(sa.select(REVISIONS).where(REVISIONS.c.id == revision_id)).first()
    if revision is None:
        raise LeptonError(ErrorCode.NOT_FOUND, f"no such revision: {revision_id!r}")
    facts = {"number": revision.number, "model_version_id": revision.model_version_id, "replica": replica_id}
    # A revision that is ready on one replica stays ready if another fails; a success replaces an earlier failure.
    before = (PENDING, FAILED) if state == READY else (PENDING,)
    changed = _change(conn, revision_id, before, state, reason[:MAX_REASON_CHARS] if state == FAILED else "")
    if changed:
        data = facts | ({"reason": reason[:MAX_REASON_CHARS]} if state == FAILED else {})
        outbox.write(conn, revision.project, f"revision.{state}", revision_id, data)
    if (state == READY and _make_last_good(conn, revision)) or changed:
        bump_generation(conn)


def _make_last_good(conn: sa.Connection, revision: sa.Row[Any]) -> bool:
    """Only if it is newer than the last good one: a report of an older revision may be late."""
    good = REVISIONS.alias("good")
    newer = sa.exists().where(good.c.id == DEPLOYMENTS.c.last_good_id, good.c.number >= revision.number)
    statement = (
        sa.update(DEPLOYMENTS)
        .where(DEPLOYMENTS.c.id == revision.deployment_id, DEPLOYMENTS.c.deleted_at_us == 0, ~newer)
        .values(last_good_id=revision.id, updated_at_us=now_us())
    )
    if conn.execute(statement).rowcount == 0:
        return False
    _retire(conn, revision.deployment_id, revision.number, (PENDING, READY))
    return True


def _retire(conn: sa.Connection, deployment_id: str, below: int, states: tuple[str, ...]) -> None:
    conn.execute(
        sa.update(REVISIONS)
        .where(REVISIONS.c.deployment_id == deployment_id, REVISIONS.c.number < below, REVISIONS.c.state.in_(states))
        .values(state=RETIRED)
    )


def _change(conn: sa.Connection, revision_id: str, before: tuple[str, ...], state: str, reason: str) -> bool:
    statement = sa.update(REVISIONS).where(REVISIONS.c.id == revision_id, REVISIONS.c.state.in_(before))
    if state == FAILED:
        return conn.execute(statement.values(state=state, reason=reason)).rowcount == 1
    return conn.execute(statement.values(state=state, reason="")).rowcount == 1


def list_revisions(conn: sa.Connection, deployment_id: str) -> list[sa.Row[Any]]:
    """Newest first."""
    statement = sa.select(REVISIONS).where(REVISIONS.c.deployment_id == deployment_id)
    return list(conn.execute(statement.order_by(REVISIONS.c.number.desc())))


def by_ids(conn: sa.Connection, ids: list[str]) -> dict[str, sa.Row[Any]]:
    return {row.id: row for row in conn.execute(sa.select(REVISIONS).where(REVISIONS.c.id.in_(ids)))}


def bump_generation(conn: sa.Connection) -> None:
    change = {"generation": SERVING.c.generation + 1}
    change_row(conn, SERVING, {"name": _GENERATION}, {"generation": 0}, change)


def generation(conn: sa.Connection) -> int:
    return conn.scalar(sa.select(SERVING.c.generation).where(SERVING.c.name == _GENERATION)) or 0
