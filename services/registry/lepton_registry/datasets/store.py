"""Datasets and their immutable versions, in the caller's transaction."""

from typing import Any

import sqlalchemy as sa

from lepton_core.api.limits import MAX_MESSAGE_CHARS
from lepton_core.errors import ErrorCode, invalid
from lepton_core.ids import check_label, is_id, new_id, parse_reference
from lepton_registry.artifacts import store as artifacts
from lepton_registry.database.engine import now_us, table
from lepton_registry.datasets.tables import DatasetRow, DatasetVersionRow
from lepton_registry.events import outbox
from lepton_registry.id_lookup import complete_id
from lepton_registry.lineage import edges
from lepton_registry.name_lookup import not_found
from lepton_registry.versioned import Versioned

DATASETS = table(DatasetRow)
VERSIONS = table(DatasetVersionRow)
DATASET = Versioned("dataset", DATASETS, VERSIONS, parent_prefix="ds")
# Every submission runs these two: built once, since building a statement costs more than running it.
_BY_NUMBER = sa.select(VERSIONS).where(
    VERSIONS.c.dataset_id == sa.bindparam("dataset_id"), VERSIONS.c.version == sa.bindparam("version")
)
_LATEST = (
    sa.select(VERSIONS)
    .join(DATASETS, sa.and_(VERSIONS.c.dataset_id == DATASETS.c.id, VERSIONS.c.version == DATASETS.c.latest_version))
    .where(DATASETS.c.project == sa.bindparam("project"), DATASETS.c.name == sa.bindparam("name"))
)
REFERENCE_RULE = "name, name@latest, name@<version>, name@sha256:<digest> or dsv_<id>"


def create_version(
    conn: sa.Connection, project: str, *, name: str, manifest_digest: str, message: str = "", created_by: str = ""
) -> tuple[sa.Row[Any], bool]:
    """Makes a version from a committed manifest, and the dataset if it is new. Returns (version, whether it is new).

    The same files as the latest version give that version. The files of an earlier one give a new version, since
    `@latest` is always what was pushed last.
    """
    check_label(name, "name")
    if len(message) > MAX_MESSAGE_CHARS:
        raise invalid("message", "is too long", message, f"at most {MAX_MESSAGE_CHARS} characters")
    manifest = artifacts.require_manifest(conn, project, manifest_digest, missing=ErrorCode.FAILED_PRECONDITION)
    dataset = DATASET.lock_or_create(conn, project, name)
    latest = DATASET.of_parent(conn, dataset.id, VERSIONS.c.version == dataset.latest_version)
    if latest is not None and latest.digest == manifest.digest:
        return latest, False
    version = DATASET.next_version(conn, dataset.id)
    values = {
        "id": new_id("dsv"),
        "project": project,
        "dataset_id": dataset.id,
        "dataset": name,
        "version": version,
        "digest": manifest.digest,
        "files": manifest.files,
        "bytes": manifest.bytes,
        "message": message,
        "created_by": created_by,
        "created_at_us": now_us(),
    }
    row = conn.execute(sa.insert(VERSIONS).returning(*VERSIONS.c), values).one()
    facts = {key: values[key] for key in ("dataset", "version", "digest", "files", "bytes", "created_by")}
    edges.record(conn, project, [], [edges.Node(row.id, "dataset_version", f"{name}@{version}", facts)])
    outbox.write(conn, project, "dataset_version.created", row.id, facts)
    return row, True


def resolve(
    conn: sa.Connection,
    project: str,
    reference: str,
    *,
    field: str = "reference",
    missing: ErrorCode = ErrorCode.NOT_FOUND,
) -> sa.Row[Any]:
    """The exact version that a reference means now. `missing`: the code if there is none (INVALID in a submission)."""
    if is_id(reference, "dsv"):
        row = DATASET.version(conn, VERSIONS.c.project == project, VERSIONS.c.id == reference)
        if row is None:
            raise not_found(field, reference, "no such dataset version", "an id of this project", missing)
        return row
    wanted = parse_reference(reference, field)
    if wanted.alias == "latest" and (row := conn.execute(_LATEST, {"project": project, "name": wanted.name}).first()):
        return row
    dataset = DATASET.find(conn, project, wanted.name)
    if dataset is None:
        mine = VERSIONS.c.project == project
        if id := complete_id(conn, VERSIONS.c.id, mine, "dsv", reference, field):
            return resolve(conn, project, id, field=field, missing=missing)
        raise DATASET.unknown(conn, project, wanted.name, field=field, value=reference, missing=missing)
    if wanted.digest is not None:
        row = DATASET.of_parent(conn, dataset.id, VERSIONS.c.digest == wanted.digest)
    elif wanted.version is None and wanted.alias != "latest":
        raise not_found(field, reference, "datasets have no aliases but 'latest'", REFERENCE_RULE, missing)
    else:
        number = dataset.latest_version if wanted.version is None else wanted.version
        row = conn.execute(_BY_NUMBER, {"dataset_id": dataset.id, "version": number}).first()
    if row is None:
        allowed = f"1 to {dataset.latest_version}" if wanted.version else "the digest of one of its versions"
        raise not_found(field, reference, f"dataset {wanted.name!r} has no such version", allowed, missing)
    return row


def resolve_node(conn: sa.Connection, project: str, reference: str) -> str:
    """The lineage node that a reference means: the id of a version."""
    return str(resolve(conn, project, reference, field="id").id)
