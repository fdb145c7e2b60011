"""Projects and API keys."""

from typing import Any

import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.identity import Role
from lepton_core.identity.tokens import new_api_key, parse_token, refused, same, token_sha256
from lepton_core.ids import check_label, new_id
from lepton_registry.database.engine import insert_new, now_us, table
from lepton_registry.events import outbox
from lepton_registry.projects.tables import ApiKeyRow, ProjectRow
from lepton_registry.refusal import RefusedToStart

PROJECTS = table(ProjectRow)
KEYS = table(ApiKeyRow)
DEFAULT_PROJECT = "default"


def create_project(conn: sa.Connection, name: str) -> sa.Row[Any]:
    check_label(name, "name")
    row = {"id": new_id("prj"), "name": name, "created_at_us": now_us()}
    if not insert_new(conn, PROJECTS, row):
        raise LeptonError(ErrorCode.ALREADY_EXISTS, f"the project {name!r} exists already")
    return find_project(conn, name)


def list_projects(conn: sa.Connection) -> list[sa.Row[Any]]:
    return list(conn.execute(sa.select(PROJECTS).order_by(PROJECTS.c.name)))


def find_project(conn: sa.Connection, id_or_name: str) -> sa.Row[Any]:
    found = conn.execute(
        sa.select(PROJECTS).where(sa.or_(PROJECTS.c.id == id_or_name, PROJECTS.c.name == id_or_name))
    ).first()
    if found is None:
        raise LeptonError(ErrorCode.NOT_FOUND, f"there is no project {id_or_name!r}")
    return found


def create_key(
    conn: sa.Connection, *, project: str, name: str, role: Role, ttl_seconds: int, created_by: str
) -> tuple[sa.Row[Any], str]:
    """Returns the key's row and its token, which is not stored."""
    check_label(name, "name")
    if ttl_seconds < 0:
        raise invalid("ttl_seconds", "negative", ttl_seconds, "0 (does not expire) or more seconds")
    key_id, created = new_id("key"), now_us()
    token = new_api_key(key_id)
    expires = created + ttl_seconds * 1_000_000 if ttl_seconds else 0
    _insert_key(conn, key_id, project, name, role, token, created, expires)
    outbox.write(conn, project, "key.created", key_id, {"name": name, "role": role.value, "by": created_by})
    return get_key(conn, project, key_id), token


def _insert_key(
    conn: sa.Connection, key_id: str, project: str, name: str, role: Role, token: str, created: int, expires: int
) -> None:
    row = {
        "id": key_id,
        "project": project,
        "name": name,
        "role": role.value,
        "token_sha256": token_sha256(token),
        "created_at_us": created,
        "revoked_at_us": 0,
        "expires_at_us": expires,
    }
    conn.execute(sa.insert(KEYS), row)


def get_key(conn: sa.Connection, project: str, key_id: str) -> sa.Row[Any]:
    found = conn.execute(sa.select(KEYS).where(KEYS.c.project == project, KEYS.c.id == key_id)).first()
    if found is None:
        raise LeptonError(ErrorCode.NOT_FOUND, f"there is no key {key_id!r}")
    return found


def list_keys(conn: sa.Connection, project: str) -> list[sa.Row[Any]]:
    return list(conn.execute(sa.select(KEYS).where(KEYS.c.project == project).order_by(KEYS.c.id)))


def revoke_key(conn: sa.Connection, project: str, key_id: str, revoked_by: str) -> sa.Row[Any]:
    """May be repeated without effect."""
    changed = conn.execute(
        sa.update(KEYS)
        .where(KEYS.c.project == project, KEYS.c.id == key_id, KEYS.c.revoked_at_us == 0)
        .values(revoked_at_us=now_us())
    )
    if changed.rowcount:
        outbox.write(conn, project, "key.revoked", key_id, {"by": revoked_by})
    return get_key(conn, project, key_id)


def verify_key(conn: sa.Connection, key_id: str, presented_sha256: str) -> sa.Row[Any]:
    """Raises the same UNAUTHENTICATED for an unknown, wrong, revoked or expired key."""
    row = conn.execute(sa.select(KEYS).where(KEYS.c.id == key_id)).first()
    if row is None or not same(row.token_sha256, presented_sha256):
        raise refused()
    if row.revoked_at_us or 0 < row.expires_at_us < now_us():
        raise refused()
    return row


def ensure_default(conn: sa.Connection) -> str:
    """Makes the default project, at the registry's start, unless it exists. Returns its id."""
    insert_new(conn, PROJECTS, {"id": new_id("prj"), "name": DEFAULT_PROJECT, "created_at_us": now_us()})
    return str(find_project(conn, DEFAULT_PROJECT).id)


def ensure_operator_key(conn: sa.Connection, token: str) -> str:
    """Adds the operator's key of the settings to the default project, at the registry's start. Returns its id."""
    project = ensure_default(conn)
    key_id = f"key_{parse_token(token).subject}"
    row = conn.execute(sa.select(KEYS).where(KEYS.c.id == key_id)).first()
    if row is None:
        _insert_key(conn, key_id, project, "operator", Role.OPERATOR, token, now_us(), 0)
    elif not same(row.token_sha256, token_sha256(token)):
        raise RefusedToStart(f"operator_key_file: {key_id} exists with another secret; make a new key")
    return key_id
