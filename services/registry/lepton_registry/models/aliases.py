"""Aliases: names for versions, moved by compare-and-set."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.ids import check_label
from lepton_registry.database.engine import insert_new, now_us
from lepton_registry.events import outbox
from lepton_registry.models import store
from lepton_registry.models.store import ALIASES
from lepton_registry.name_lookup import not_found

ALIAS_RULE = "a name that is not a number and not 'latest'"


class AliasFollowers(Protocol):
    """Resources that follow aliases, such as deployments. Called in the transaction that changes the alias."""

    def names(self, conn: sa.Connection, project: str, model_id: str, alias: str) -> list[str]:
        """Names of the followers of the alias, which are locked until the transaction ends."""
        ...

    def moved(self, conn: sa.Connection, project: str, alias: str, version: sa.Row[Any], moved_by: str) -> None:
        """Called when the alias has moved to this model version."""
        ...


def set_alias(
    conn: sa.Connection,
    project: str,
    *,
    model: str,
    alias: str,
    version: int,
    expected_version: int,
    updated_by: str,
    followers: Sequence[AliasFollowers],
) -> sa.Row[Any]:
    """Moves `alias` to `version`, and notifies its followers.

    `expected_version` is the version that it must have now; 0: any. Raises CONFLICT with the actual version otherwise.
    """
    check_label(alias, "alias")
    if alias.isdigit() or alias == "latest":
        raise invalid("alias", "could be mistaken for a version in a reference", alias, ALIAS_RULE)
    parent = store.MODEL.get(conn, project, model, field="model")
    for field, number in (("version", version - 1), ("expected_version", expected_version)):
        if number < 0:
            raise invalid(field, "is not a version number", version, f"1 to {parent.latest_version}")
    target = store.resolve(conn, project, f"{model}@{version}", field="version")
    before = _point(conn, parent, alias, expected_version, {"version": version, "updated_by": updated_by})
    row = conn.execute(sa.select(ALIASES).where(ALIASES.c.model_id == parent.id, ALIASES.c.name == alias)).one()
    if before != version:
        moved = {"model": model, "alias": alias, "version": version, "before": before}
        outbox.write(conn, project, "model_alias.moved", parent.id, moved)
        for each in followers:
            each.moved(conn, project, alias, target, updated_by)
    return row


def _point(
    conn: sa.Connection, parent: sa.Row[Any], alias: str, expected_version: int, values: Mapping[str, Any]
) -> int:
    """Moves the alias; returns its previous version, or 0 if it is new."""
    mine = sa.and_(ALIASES.c.model_id == parent.id, ALIASES.c.name == alias)
    values = {**values, "updated_at_us": now_us()}
    # Locked until the end, so that nobody moves it between this read and the update.
    before = conn.scalar(sa.select(ALIASES.c.version).where(mine).with_for_update())
    if before is None and expected_version == 0:
        row = {"model_id": parent.id, "name": alias, "project": parent.project} | values
        if insert_new(conn, ALIASES, row):
            return 0
        before = conn.scalar(sa.select(ALIASES.c.version).where(mine).with_for_update())
    if expected_version not in {0, before}:
        now = f"points at version {before}" if before else "does not exist"
        raise LeptonError(
            ErrorCode.CONFLICT,
            f"alias {parent.name}@{alias} {now}, not at version {expected_version}: read it again before you move it",
        )
    conn.execute(sa.update(ALIASES).where(mine, ALIASES.c.version == before).values(values))
    return before or 0


def delete_alias(
    conn: sa.Connection, project: str, *, model: str, alias: str, followers: Sequence[AliasFollowers]
) -> None:
    """Raises FAILED_PRECONDITION while something follows the alias."""
    parent = store.MODEL.get(conn, project, model, field="model")
    store.lock_alias(conn, project, model, alias)
    names = ", ".join(name for each in followers for name in each.names(conn, project, parent.id, alias))
    if names:
        raise LeptonError(
            ErrorCode.FAILED_PRECONDITION,
            f"alias {model}@{alias} is followed by: {names}; first change these to a version, or delete them",
        )
    mine = sa.and_(ALIASES.c.model_id == parent.id, ALIASES.c.name == alias)
    version = conn.scalar(sa.delete(ALIASES).where(mine).returning(ALIASES.c.version))
    if version is None:
        others = ", ".join(row.name for row in store.list_aliases(conn, parent.id)) or "none yet"
        raise not_found("alias", alias, f"model {model!r} has no alias {alias!r}", others)
    deleted = {"model": model, "alias": alias, "version": 0, "before": version}
    outbox.write(conn, project, "model_alias.deleted", parent.id, deleted)
