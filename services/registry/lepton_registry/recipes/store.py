"""The recipe catalogue."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.ids import check_label
from lepton_registry.database.engine import insert_new, now_us, table
from lepton_registry.recipes.schemas import check_schema
from lepton_registry.recipes.tables import RecipeRow

RECIPES = table(RecipeRow)
# Every submission runs this: built once, since building a statement costs more than running it.
_EXACT = sa.select(RECIPES.c.version).where(
    RECIPES.c.name == sa.bindparam("name"), RECIPES.c.version == sa.bindparam("version")
)


@dataclass(frozen=True)
class Announced:
    name: str
    version: str
    title: str
    schema_json: str


def announce(conn: sa.Connection, recipe: Announced, field: str) -> None:
    """Adds a row. A known version cannot get another schema: otherwise a malicious worker could change what the gateway
    accepts."""
    check_label(recipe.name, f"{field}.name")
    check_label(recipe.version, f"{field}.version")
    digest = check_schema(recipe.schema_json, f"{field}.schema")
    row = {
        "name": recipe.name,
        "version": recipe.version,
        "title": recipe.title,
        "schema_json": recipe.schema_json,
        "schema_digest": digest,
        "created_at_us": now_us(),
    }
    if insert_new(conn, RECIPES, row):
        return
    known = find(conn, recipe.name, recipe.version)
    assert known is not None
    if known.schema_digest != digest:
        raise LeptonError(
            ErrorCode.CONFLICT,
            f"{field}: recipe {recipe.name}@{recipe.version} exists with another schema ({known.schema_digest}); "
            "a changed schema needs a new version",
        )


def find(conn: sa.Connection, name: str, version: str) -> sa.Row[Any] | None:
    """The exact version; the newest if `version` is empty."""
    statement = sa.select(RECIPES).where(RECIPES.c.name == name)
    if version:
        statement = statement.where(RECIPES.c.version == version)
    return conn.execute(statement.order_by(RECIPES.c.created_at_us.desc(), RECIPES.c.version.desc()).limit(1)).first()


def get(conn: sa.Connection, name: str, version: str) -> sa.Row[Any]:
    found = find(conn, name, version)
    if found is None:
        wanted = f"{name}@{version}" if version else name
        raise LeptonError(ErrorCode.NOT_FOUND, f"there is no recipe {wanted!r}; known: {_known(conn)}")
    return found


def require(conn: sa.Connection, name: str, version: str) -> None:
    """Raises INVALID unless the catalogue has exactly this version."""
    if conn.execute(_EXACT, {"name": name, "version": version}).first() is None:
        raise invalid("recipe", "not in the catalogue", f"{name}@{version}", _known(conn))


def list_all(conn: sa.Connection) -> list[sa.Row[Any]]:
    return list(conn.execute(sa.select(RECIPES).order_by(RECIPES.c.name, RECIPES.c.created_at_us, RECIPES.c.version)))


def _known(conn: sa.Connection) -> str:
    return (
        ", ".join(f"{row.name}@{row.version}" for row in list_all(conn)) or "none: no worker has announced a recipe yet"
    )
