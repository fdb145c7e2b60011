"""Deployments and their revisions, in the caller's transaction.

Inference sees only revisions: aliases are resolved here, in the transaction that moves them, so that all replicas serve
the same version.
"""

from typing import Any

import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.ids import check_label, is_id, new_id, parse_reference
from lepton_registry.database.engine import insert_new, now_us
from lepton_registry.deployments.revisions import DEPLOYMENTS, FAILED, REVISIONS, add_revision, bump_generation
from lepton_registry.events import outbox
from lepton_registry.id_lookup import complete_id
from lepton_registry.models import store as models
from lepton_registry.name_lookup import names_like, not_found

# GET /v2/models/stats is a path of the inference protocol, so no model can have that name there.
RESERVED_NAMES = frozenset({"stats"})


def create(conn: sa.Connection, project: str, *, name: str, model: str, created_by: str) -> tuple[sa.Row[Any], bool]:
    """Returns (deployment, whether it is new). The same reference again changes nothing; another is ALREADY_EXISTS."""
    check_label(name, "name")
    if name in RESERVED_NAMES:
        raise invalid("name", "this name of a deployment is reserved", name, "any other name")
    version, alias = _target(conn, project, model)
    now = now_us()
    values = {
        "id": new_id("dep"),
        "project": project,
        "name": name,
        "model_id": version.model_id,
        "model": version.model,
        "alias": alias,
        "revisions": 0,
        "desired_id": "",
        "last_good_id": "",
        "created_at_us": now,
        "updated_at_us": now,
        "deleted_at_us": 0,
    }
    if insert_new(conn, DEPLOYMENTS, values):
        deployment = add_revision(conn, get(conn, project, name), version, created_by)
        outbox.write(
            conn, project, "deployment.created", deployment.id, {"name": name, "model": version.model, "alias": alias}
        )
        return deployment, True
    known = get(conn, project, name, lock=True)
    if _serves(conn, known, version, alias):
        return known, False
    raise LeptonError(
        ErrorCode.ALREADY_EXISTS, f"deployment {name!r} serves another model or version; update it to serve {model!r}"
    )


def update(conn: sa.Connection, project: str, *, name: str, model: str, updated_by: str) -> sa.Row[Any]:
    """Changes the deployment to another reference by a new revision, unless it already serves exactly that."""
    version, alias = _target(conn, project, model)
    deployment = get(conn, project, name, lock=True)
    if _serves(conn, deployment, version, alias):
        return deployment
    return _point(conn, deployment, version, alias, updated_by)


def rollback(conn: sa.Connection, project: str, *, name: str, revision: int, created_by: str) -> sa.Row[Any]:
    """Serves the version of `revision` again, pinned; 0: the last revision before the current with another version.

    A revision that failed is chosen only by its number.
    """
    deployment = get(conn, project, name, lock=True)
    desired = conn.execute(sa.select(REVISIONS).where(REVISIONS.c.id == deployment.desired_id)).one()
    mine = REVISIONS.c.deployment_id == deployment.id
    wanted = REVISIONS.c.number == revision
    if revision == 0:
        other = REVISIONS.c.model_version_id != desired.model_version_id
        wanted = sa.and_(REVISIONS.c.number < desired.number, other, REVISIONS.c.state != FAILED)
    earlier = conn.execute(
        sa.select(REVISIONS).where(mine, wanted).order_by(REVISIONS.c.number.desc()).limit(1)
    ).first()
    if earlier is None and revision == 0:
        raise LeptonError(ErrorCode.FAILED_PRECONDITION, f"deployment {name!r} has served no other version before")
    if earlier is None:
        raise not_found("revision", str(revision), "no such revision", f"1 to {deployment.revisions}")
    version = models.resolve(conn, project, earlier.model_version_id)
    return _point(conn, deployment, version, "", created_by)


def delete(conn: sa.Connection, project: str, *, name: str) -> None:
    statement = (
        sa.update(DEPLOYMENTS)
        .where(DEPLOYMENTS.c.id == get(conn, project, name).id, DEPLOYMENTS.c.deleted_at_us == 0)
        .values(deleted_at_us=now_us(), updated_at_us=now_us())
        .returning(DEPLOYMENTS.c.id)
    )
    deleted = conn.scalar(statement)
    if deleted is not None:
        bump_generation(conn)
        outbox.write(conn, project, "deployment.deleted", deleted, {"name": name})


class Followers:
    """The followers of aliases (see models.aliases.AliasFollowers)."""

    def names(self, conn: sa.Connection, project: str, model_id: str, alias: str) -> list[str]:
        return [row.name for row in following(conn, project, model_id, alias)]

    def moved(self, conn: sa.Connection, project: str, alias: str, version: sa.Row[Any], moved_by: str) -> None:
        """Makes a revision for each deployment that follows the alias."""
        for deployment in following(conn, project, version.model_id, alias):
            add_revision(conn, deployment, version, moved_by)


def following(conn: sa.Connection, project: str, model_id: str, alias: str) -> list[sa.Row[Any]]:
    """Deployments, not deleted, that follow an alias. They are locked."""
    statement = sa.select(DEPLOYMENTS).where(
        DEPLOYMENTS.c.project == project,
        DEPLOYMENTS.c.model_id == model_id,
        DEPLOYMENTS.c.alias == alias,
        DEPLOYMENTS.c.deleted_at_us == 0,
    )
    return list(conn.execute(statement.order_by(DEPLOYMENTS.c.id).with_for_update()))


def find(conn: sa.Connection, project: str, name: str, *, lock: bool = False) -> sa.Row[Any] | None:
    statement = sa.select(DEPLOYMENTS).where(
        DEPLOYMENTS.c.project == project, DEPLOYMENTS.c.name == name, DEPLOYMENTS.c.deleted_at_us == 0
    )
    return conn.execute(statement.with_for_update() if lock else statement).first()


def get(conn: sa.Connection, project: str, name: str, *, lock: bool = False) -> sa.Row[Any]:
    row = find(conn, project, check_label(name, "name"), lock=lock)
    if row is None:
        live = sa.select(DEPLOYMENTS).where(DEPLOYMENTS.c.deleted_at_us == 0).subquery("live")
        names = names_like(conn, live, project, name)
        raise not_found("name", name, f"no deployment named {name!r}", names)
    return row


def desired_revision_id(conn: sa.Connection, project: str, deployment_id: str) -> str:
    """Also of deleted deployments, whose lineage is kept."""
    statement = sa.select(DEPLOYMENTS.c.desired_id)
    found = conn.scalar(statement.where(DEPLOYMENTS.c.project == project, DEPLOYMENTS.c.id == deployment_id))
    if found is None:
        raise not_found("id", deployment_id, "no such deployment", "an id of this project")
    return str(found)


def resolve_node(conn: sa.Connection, project: str, text: str) -> str:
    """The lineage node of a deployment, given by its name, its id or the beginning of one: the desired revision."""
    live = sa.and_(DEPLOYMENTS.c.project == project, DEPLOYMENTS.c.deleted_at_us == 0)
    if is_id(text, "dep"):
        return desired_revision_id(conn, project, text)
    if id := complete_id(conn, DEPLOYMENTS.c.id, live, "dep", text, "id"):
        return desired_revision_id(conn, project, id)
    row = find(conn, project, text)
    if row is None:
        raise not_found("id", text, f"no deployment named {text!r}")
    return str(row.desired_id)


def list_deployments(conn: sa.Connection, project: str) -> list[sa.Row[Any]]:
    statement = sa.select(DEPLOYMENTS).where(DEPLOYMENTS.c.project == project, DEPLOYMENTS.c.deleted_at_us == 0)
    return list(conn.execute(statement.order_by(DEPLOYMENTS.c.name)))


def list_all(conn: sa.Connection) -> list[sa.Row[Any]]:
    """The deployments of all projects, for inference."""
    statement = sa.select(DEPLOYMENTS).where(DEPLOYMENTS.c.deleted_at_us == 0)
    return list(conn.execute(statement.order_by(DEPLOYMENTS.c.id)))


def _target(conn: sa.Connection, project: str, reference: str) -> tuple[sa.Row[Any], str]:
    """The version that a reference means, and the alias to follow, which is empty unless the reference is an alias."""
    missing = ErrorCode.INVALID
    if is_id(reference, "mv"):
        return models.resolve(conn, project, reference, field="model", missing=missing), ""
    wanted = parse_reference(reference, "model")
    alias = wanted.alias if wanted.alias and wanted.alias != "latest" else ""
    if alias:
        # Locked, so that the alias cannot move before the revision is made.
        models.lock_alias(conn, project, wanted.name, alias)
    return models.resolve(conn, project, reference, field="model", missing=missing), alias


def _serves(conn: sa.Connection, deployment: sa.Row[Any], version: sa.Row[Any], alias: str) -> bool:
    desired = conn.execute(sa.select(REVISIONS).where(REVISIONS.c.id == deployment.desired_id)).first()
    return deployment.alias == alias and desired is not None and bool(desired.model_version_id == version.id)


def _point(
    conn: sa.Connection, deployment: sa.Row[Any], version: sa.Row[Any], alias: str, updated_by: str
) -> sa.Row[Any]:
    conn.execute(
        sa.update(DEPLOYMENTS)
        .where(DEPLOYMENTS.c.id == deployment.id, DEPLOYMENTS.c.deleted_at_us == 0)
        .values(model_id=version.model_id, model=version.model, alias=alias)
    )
    return add_revision(conn, deployment, version, updated_by)
