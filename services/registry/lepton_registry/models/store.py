"""Models and their versions, in the caller's transaction."""

import json
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from lepton_core.errors import ErrorCode
from lepton_core.ids import check_label, is_id, new_id, parse_reference
from lepton_registry.artifacts import store as artifacts
from lepton_registry.artifacts.manifest import FileLike
from lepton_registry.database.engine import insert_new, now_us, table
from lepton_registry.events import outbox
from lepton_registry.lineage import edges
from lepton_registry.models.tables import AliasRow, ModelRow, ModelVersionRow
from lepton_registry.name_lookup import names_like, not_there

MODELS = table(ModelRow)
VERSIONS = table(ModelVersionRow)
ALIASES = table(AliasRow)
EMPTY_JSON = "{}"


def register_version(
    conn: sa.Connection,
    project: str,
    *,
    model: str,
    files: Iterable[FileLike],
    signature_json: str,
    card_json: str = EMPTY_JSON,
    metrics_json: str = EMPTY_JSON,
    evaluation_json: str = EMPTY_JSON,
    run_id: str = "",
    created_by: str = "",
) -> tuple[sa.Row[Any], bool]:
    """A new version of `model` (made if it is new) from a package that was checked (see package.inspect).

    (version, whether it was created): a run that already made its version of the model, or an import of the same
    files as the latest import, gets that one. Writes the edge to the run, the node and the event.
    """
    check_label(model, "model")
    manifest = artifacts.commit_manifest(conn, project, files, "package")
    parent = _parent(conn, project, model)
    if run_id:
        known = _version_row(conn, VERSIONS.c.model_id == parent.id, VERSIONS.c.run_id == run_id)
    else:
        known = _version_row(conn, VERSIONS.c.model_id == parent.id, VERSIONS.c.version == parent.latest_version)
        known = known if known is not None and known.run_id is None and known.digest == manifest.digest else None
    if known is not None:
        return known, False
    version = conn.scalar(
        sa.update(MODELS)
        .where(MODELS.c.id == parent.id)
        .values(latest_version=MODELS.c.latest_version + 1)
        .returning(MODELS.c.latest_version)
    )
    values = {
        "id": new_id("mv"),
        "project": project,
        "model_id": parent.id,
        "model": model,
        "version": version,
        "digest": manifest.digest,
        "bytes": manifest.bytes,
        "signature_json": signature_json,
        "card_json": card_json,
        "metrics_json": metrics_json,
        "evaluation_json": evaluation_json,
        "run_id": run_id or None,
        "created_by": created_by,
        "created_at_us": now_us(),
    }
    row = conn.execute(sa.insert(VERSIONS).returning(*VERSIONS.c), values).one()
    _record(conn, project, row)
    return row, True


def _record(conn: sa.Connection, project: str, row: sa.Row[Any]) -> None:
    """The version's lineage and its event."""
    facts = {"model": row.model, "version": row.version, "digest": row.digest, "bytes": row.bytes}
    made_by = [edges.Edge(row.id, "generated", row.run_id)] if row.run_id else []
    node = edges.Node(
        row.id, "model_version", f"{row.model}@{row.version}", facts | {"metrics": json.loads(row.metrics_json)}
    )
    edges.record(conn, project, made_by, [node])
    outbox.write(conn, project, "model_version.created", row.id, facts | {"run_id": row.run_id or ""})


def resolve(
    conn: sa.Connection,
    project: str,
    reference: str,
    *,
    field: str = "reference",
    missing: ErrorCode = ErrorCode.NOT_FOUND,
) -> sa.Row[Any]:
    """The exact version that a reference means now: name, name@latest, name@2, name@<alias>, name@sha256:…, mv_ id."""
    if is_id(reference, "mv"):
        row = _version_row(conn, VERSIONS.c.project == project, VERSIONS.c.id == reference)
        if row is None:
            raise not_there(field, reference, "no such model version", "an id of this project", missing)
        return row
    wanted = parse_reference(reference, field)
    model = find(conn, project, wanted.name)
    if model is None:
        names = names_like(conn, MODELS, project, wanted.name)
        raise not_there(field, reference, f"no model named {wanted.name!r}", names, missing)
    condition = VERSIONS.c.version == (wanted.version or model.latest_version)
    if wanted.digest is not None:
        condition = VERSIONS.c.digest == wanted.digest
    elif wanted.alias not in (None, "latest"):
        moved = sa.select(ALIASES.c.version).where(ALIASES.c.model_id == model.id, ALIASES.c.name == wanted.alias)
        condition = VERSIONS.c.version == moved.scalar_subquery()
    row = _version_row(conn, VERSIONS.c.model_id == model.id, condition)
    if row is None:
        aliases = ", ".join(alias.name for alias in list_aliases(conn, model.id)) or "none yet"
        allowed = f"versions 1 to {model.latest_version}; aliases: latest, {aliases}"
        raise not_there(field, reference, f"model {wanted.name!r} has no such version or alias", allowed, missing)
    return row


def find(conn: sa.Connection, project: str, name: str) -> sa.Row[Any] | None:
    return conn.execute(sa.select(MODELS).where(MODELS.c.project == project, MODELS.c.name == name)).first()


def get(conn: sa.Connection, project: str, name: str, *, field: str = "name") -> sa.Row[Any]:
    row = find(conn, project, check_label(name, field))
    if row is None:
        raise not_there(field, name, f"no model named {name!r}", names_like(conn, MODELS, project, name))
    return row


def list_models(conn: sa.Connection, project: str, *, after: str, limit: int) -> list[sa.Row[Any]]:
    """By name, after the name `after`."""
    statement = sa.select(MODELS).where(MODELS.c.project == project, MODELS.c.name > after)
    return list(conn.execute(statement.order_by(MODELS.c.name).limit(limit)))


def list_versions(conn: sa.Connection, model_id: str, *, before: int, limit: int) -> list[sa.Row[Any]]:
    """Newest first, those with a number below `before` (0: all)."""
    statement = sa.select(VERSIONS).where(VERSIONS.c.model_id == model_id)
    if before:
        statement = statement.where(VERSIONS.c.version < before)
    return list(conn.execute(statement.order_by(VERSIONS.c.version.desc()).limit(limit)))


def list_aliases(conn: sa.Connection, *model_ids: str) -> list[sa.Row[Any]]:
    statement = sa.select(ALIASES).where(ALIASES.c.model_id.in_(model_ids))
    return list(conn.execute(statement.order_by(ALIASES.c.name)))


def lock_alias(conn: sa.Connection, project: str, model: str, alias: str) -> None:
    """Nobody moves the alias until the transaction ends."""
    mine = sa.and_(MODELS.c.id == ALIASES.c.model_id, MODELS.c.project == project, MODELS.c.name == model)
    statement = sa.select(ALIASES.c.name).join(MODELS, mine).where(ALIASES.c.name == alias)
    conn.execute(statement.with_for_update(of=ALIASES))


def references(manifests: sa.Table) -> sa.ColumnElement[bool]:
    """Whether a model version needs a row of `manifests`; collection asks."""
    return sa.exists().where(VERSIONS.c.project == manifests.c.project, VERSIONS.c.digest == manifests.c.digest)


def _parent(conn: sa.Connection, project: str, name: str) -> sa.Row[Any]:
    """The model's row, made if it is new, locked until the transaction ends."""
    statement = sa.select(MODELS).where(MODELS.c.project == project, MODELS.c.name == name).with_for_update()
    row = conn.execute(statement).first()
    if row is None:
        values = {"id": new_id("mdl"), "project": project, "name": name, "description": "", "latest_version": 0}
        insert_new(conn, MODELS, values | {"created_at_us": now_us()})
        row = conn.execute(statement).one()
    return row


def _version_row(conn: sa.Connection, *conditions: sa.ColumnElement[bool]) -> sa.Row[Any] | None:
    """Of several with the same digest, the newest."""
    return conn.execute(sa.select(VERSIONS).where(*conditions).order_by(VERSIONS.c.version.desc()).limit(1)).first()
