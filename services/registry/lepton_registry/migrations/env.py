"""Alembic's environment: the caller gives a connection with a transaction that is already open."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlmodel.sql.sqltypes import AutoString

from lepton_registry.schema import METADATA


def render_item(kind: str, item: Any, _context: AutogenContext) -> str | Literal[False]:
    """Revisions import nothing of ours or of SQLModel: they have to run when both have changed."""
    return "sa.String()" if kind == "type" and isinstance(item, AutoString) else False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
    compare_type=True,
    render_item=render_item,
)
context.run_migrations()
