"""Aliases: names that move between versions, by compare and set."""

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
    """What follows aliases, as deployments do. Both are called in the transaction that changes the alias."""

    def names(self, conn: sa.Connection, project: str, model_id: str, alias: str) -> list[str]:
        """Who follows the alias; nobody joins or leaves until the transaction ends."""
        ...

    def moved(self, conn: sa.Connection, project: str, alias: str, version: sa.Row[Any], moved_by: str) -> None:
        """The alias points at this model version now."""
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
    """Point `alias` at `version`, and tell everything that follows it.

    `expected_version` is where it must point now; 0 means "whatever it is". CONFLICT tells where it points instead.
    """
    check_label(alias, "alias")
    if alias.isdigit() or alias == "latest":
        raise invalid("alias", "could not be told from a version in a reference", alias, ALIAS_RULE)
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
    """Move the alias; where it pointed before, 0 if it is new."""
    mine = sa.and_(ALIASES.c.model_id == parent.id, ALIASES.c.name == alias)
    values = {**values, "updated_at_us": now_us()}
    # Held until the end: between this answer and the change nobody else moves it.
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
            f"alias {parent.name}@{alias} {now}, not at version {expected_version}: look again and decide anew",
        )
    conn.execute(sa.update(ALIASES).where(mine, ALIASES.c.version == before).values(values))
    return before or 0


def delete_alias(
    conn: sa.Connection, project: str, *, model: str, alias: str, followers: Sequence[AliasFollowers]
) -> None:
    """FAILED_PRECONDITION while something follows it, which would then follow nothing."""
    parent = store.MODEL.get(conn, project, model, field="model")
    store.lock_alias(conn, project, model, alias)
    names = ", ".join(name for each in followers for name in each.names(conn, project, parent.id, alias))
    if names:
        raise LeptonError(
            ErrorCode.FAILED_PRECONDITION,
            f"alias {model}@{alias} is followed by: {names}; point these at a version, or delete them, first",
        )
    mine = sa.and_(ALIASES.c.model_id == parent.id, ALIASES.c.name == alias)
    version = conn.scalar(sa.delete(ALIASES).where(mine).returning(ALIASES.c.version))
    if version is None:
        others = ", ".join(row.name for row in store.list_aliases(conn, parent.id)) or "none yet"
        raise not_found("alias", alias, f"model {model!r} has no alias {alias!r}", others)
    deleted = {"model": model, "alias": alias, "version": 0, "before": version}
    outbox.write(conn, project, "model_alias.deleted", parent.id, deleted)
