"""Uploads in SQL: open → verifying → committed or failed. Each step is a conditional update."""

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.ids import check_id, new_id
from lepton_registry.artifacts import attempt_files, blobs
from lepton_registry.artifacts.blobs import Stored
from lepton_registry.artifacts.tables import UploadRow
from lepton_registry.database.engine import now_us, table
from lepton_registry.module import AttemptPolicy

UPLOADS = table(UploadRow)
OPEN, VERIFYING, COMMITTED, FAILED = "open", "verifying", "committed", "failed"
MAX_ETAG_CHARS = 200
_BATCH = 100


def create(
    conn: sa.Connection,
    project: str,
    *,
    artifact: Stored,
    part_bytes: int,
    multipart_id: str,
    expires_at_us: int,
    attempt_id: str = "",
    may_know: bool = True,
) -> sa.Row[Any]:
    """A new upload; already committed if the artifact exists. `may_know`: whether the caller may know that; an attempt
    must send the files that it does not have."""
    exists = may_know and not blobs.find_missing(conn, project, [artifact.digest])
    values = {
        "id": new_id("upl"),
        "project": project,
        "digest": artifact.digest,
        "bytes": artifact.bytes,
        "part_bytes": part_bytes,
        "object_key": artifact.object_key,
        "multipart_id": multipart_id,
        "parts_json": "[]",
        "state": COMMITTED if exists else OPEN,
        "error": "",
        "created_at_us": now_us(),
        "expires_at_us": expires_at_us,
        "attempt_id": attempt_id,
    }
    return conn.execute(sa.insert(UPLOADS).returning(*UPLOADS.c), values).one()


def get(conn: sa.Connection, project: str, upload_id: str, attempt_id: str = "") -> sa.Row[Any]:
    """An upload of the project; with `attempt_id`, only one of that attempt."""
    check_id(upload_id, "upl", "id")
    statement = sa.select(UPLOADS).where(UPLOADS.c.project == project, UPLOADS.c.id == upload_id)
    if attempt_id:
        statement = statement.where(UPLOADS.c.attempt_id == attempt_id)
    row = conn.execute(statement).first()
    if row is None:
        raise LeptonError(ErrorCode.NOT_FOUND, f"no upload {upload_id} in this project")
    return row


def complete(
    conn: sa.Connection, project: str, upload_id: str, parts: Sequence[tuple[int, str]], attempt_id: str = ""
) -> sa.Row[Any]:
    """Records that all parts are sent. May be repeated; raises FAILED_PRECONDITION for a failed or expired upload."""
    row = get(conn, project, upload_id, attempt_id)
    if row.state in (VERIFYING, COMMITTED):
        return row
    _check_parts(parts, part_count(row.bytes, row.part_bytes))
    moved = conn.execute(
        sa.update(UPLOADS)
        .where(UPLOADS.c.id == row.id, UPLOADS.c.state == OPEN)
        .values(state=VERIFYING, parts_json=json.dumps(parts))
        .returning(*UPLOADS.c)
    ).first()
    if moved is not None:
        return moved
    now = get(conn, project, upload_id)
    if now.state in (VERIFYING, COMMITTED):
        return now
    raise LeptonError(ErrorCode.FAILED_PRECONDITION, f"upload {upload_id} has failed: {now.error}; start a new one")


def commit(conn: sa.Connection, attempts: AttemptPolicy, upload: sa.Row[Any]) -> bool:
    """Makes the verified upload an artifact. False if no row then uses the upload's object."""
    moved = sa.update(UPLOADS).where(UPLOADS.c.id == upload.id, UPLOADS.c.state == VERIFYING).values(state=COMMITTED)
    if conn.execute(moved).rowcount:
        # Before the artifact's row is locked: the end of an attempt takes its locks in this order.
        if upload.attempt_id:
            attempt_files.record(conn, attempts, upload.attempt_id, [upload.digest])
        blobs.add(conn, upload.project, [Stored(upload.digest, upload.bytes, upload.object_key, 0)])
    stored = blobs.find(conn, upload.project, upload.digest)
    return stored is not None and stored.object_key == upload.object_key


def fail(conn: sa.Connection, upload_id: str, error: str, *, was: str = VERIFYING) -> bool:
    """Returns False if the upload was in another state."""
    statement = sa.update(UPLOADS).where(UPLOADS.c.id == upload_id, UPLOADS.c.state == was)
    return conn.execute(statement.values(state=FAILED, error=error)).rowcount == 1


def expire(conn: sa.Connection, upload_id: str) -> bool:
    return fail(conn, upload_id, "it was not completed in time", was=OPEN)


def list_verifying(conn: sa.Connection) -> list[sa.Row[Any]]:
    return list(conn.execute(sa.select(UPLOADS).where(UPLOADS.c.state == VERIFYING).order_by(UPLOADS.c.created_at_us)))


def list_expired(conn: sa.Connection) -> list[sa.Row[Any]]:
    statement = sa.select(UPLOADS).where(UPLOADS.c.state == OPEN, UPLOADS.c.expires_at_us < now_us())
    return list(conn.execute(statement.limit(_BATCH)))


def delete_ended(conn: sa.Connection, before_us: int) -> int:
    """Deletes uploads that ended so long ago that no client polls them."""
    ended = UPLOADS.c.state.in_((COMMITTED, FAILED))
    return conn.execute(sa.delete(UPLOADS).where(ended, UPLOADS.c.expires_at_us < before_us)).rowcount


def part_count(size: int, part_bytes: int) -> int:
    return max(1, -(-size // part_bytes))


def _check_parts(parts: Sequence[tuple[int, str]], expected: int) -> None:
    if sorted(number for number, _ in parts) != list(range(1, expected + 1)):
        raise invalid("parts", f"{len(parts)} part(s) named", None, f"each of the numbers 1 to {expected} once")
    for index, (_, etag) in enumerate(parts):
        if not 0 < len(etag) <= MAX_ETAG_CHARS or not etag.isprintable():
            raise invalid(("parts", index, "etag"), "is not an ETag", etag, "the ETag header that the store answered")
