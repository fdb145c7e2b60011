"""Models and their versions, in the caller's transaction."""

import json
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from lepton_core.errors import ErrorCode
from lepton_core.ids import check_label, is_id, new_id, parse_reference
from lepton_registry.artifacts import store as artifacts
from lepton_registry.artifacts.manifest import FileLike
from lepton_registry.database.engine import now_us, table
from lepton_registry.events import outbox
from lepton_registry.id_lookup import complete_id
from lepton_registry.lineage import edges
from lepton_registry.models.tables import AliasRow, ModelRow, ModelVersionRow
from lepton_registry.name_lookup import not_found
from lepton_registry.versioned import Versioned

MODELS = table(ModelRow)
VERSIONS = table(ModelVersionRow)
ALIASES = table(AliasRow)
MODEL = Versioned("model", MODELS, VERSIONS, parent_prefix="mdl")
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
    """Makes a version of `model`, and the model if it is new, from a checked package (see package.inspect).

    Returns (version, whether it is new). A run that already made a version of the model, or an import of the same files
    as the latest import, gets that version. Writes the edge to the run, the node and the event.
    """
    check_label(model, "model")
    manifest = artifacts.commit_manifest(conn, project, files, "package")
    parent = MODEL.lock_or_create(conn, project, model)
    if run_id:
        known = MODEL.of_parent(conn, parent.id, VERSIONS.c.run_id == run_id)
    else:
        known = MODEL.of_parent(conn, parent.id, VERSIONS.c.version == parent.latest_version)
        known = known if known is not None and known.run_id is None and known.digest == manifest.digest else None
    if known is not None:
        return known, False
    version = MODEL.next_version(conn, parent.id)
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
    """Writes the version's lineage and event."""
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
    """The exact version that a reference means now: name, name@latest, name@2, name@<alias>, name@sha256:…, an id
    (mv_…) or the beginning of one."""
    if is_id(reference, "mv"):
        row = MODEL.version(conn, VERSIONS.c.project == project, VERSIONS.c.id == reference)
        if row is None:
            raise not_found(field, reference, "no such model version", "an id of this project", missing)
        return row
    wanted = parse_reference(reference, field)
    model = MODEL.find(conn, project, wanted.name)
    if model is None:
        mine = VERSIONS.c.project == project
        if id := complete_id(conn, VERSIONS.c.id, mine, "mv", reference, field):
            return resolve(conn, project, id, field=field, missing=missing)
        raise MODEL.unknown(conn, project, wanted.name, field=field, value=reference, missing=missing)
    condition = VERSIONS.c.version == (wanted.version or model.latest_version)
    if wanted.digest is not None:
        condition = VERSIONS.c.digest == wanted.digest
    elif wanted.alias not in (None, "latest"):
        moved = sa.select(ALIASES.c.version).where(ALIASES.c.model_id == model.id, ALIASES.c.name == wanted.alias)
        condition = VERSIONS.c.version == moved.scalar_subquery()
    row = MODEL.of_parent(conn, model.id, condition)
    if row is None:
        aliases = ", ".join(alias.name for alias in list_aliases(conn, model.id)) or "none yet"
        allowed = f"versions 1 to {model.latest_version}; aliases: latest, {aliases}"
        raise not_found(field, reference, f"model {wanted.name!r} has no such version or alias", allowed, missing)
    return row


def resolve_node(conn: sa.Connection, project: str, reference: str) -> str:
    """The lineage node that a reference means: the id of a version."""
    return str(resolve(conn, project, reference, field="id").id)


def list_aliases(conn: sa.Connection, *model_ids: str) -> list[sa.Row[Any]]:
    statement = sa.select(ALIASES).where(ALIASES.c.model_id.in_(model_ids))
    return list(conn.execute(statement.order_by(ALIASES.c.name)))


def lock_alias(conn: sa.Connection, project: str, model: str, alias: str) -> None:
    """Locks the alias until the transaction ends."""
    mine = sa.and_(MODELS.c.id == ALIASES.c.model_id, MODELS.c.project == project, MODELS.c.name == model)
    statement = sa.select(ALIASES.c.name).join(MODELS, mine).where(ALIASES.c.name == alias)
    conn.execute(statement.with_for_update(of=ALIASES))
