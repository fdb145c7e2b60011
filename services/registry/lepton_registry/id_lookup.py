"""Finds the one id that begins with the text that somebody gave; shared by all resources with ids."""

import sqlalchemy as sa

from lepton_core.errors import invalid
from lepton_core.ids import id_range

SHOWN_MATCHES = 5


def complete_id(
    conn: sa.Connection, ids: sa.ColumnElement[str], scope: sa.ColumnElement[bool], prefix: str, text: str, field: str
) -> str | None:
    """The id among `ids` in `scope` that begins with `text`, such as mv_01J; None if there is none.

    Raises INVALID with the matching ids if there are several.
    """
    ends = id_range(text, prefix) if text.startswith(f"{prefix}_") else None
    if ends is None:
        return None
    statement = sa.select(ids).where(scope, ids.between(*ends)).order_by(ids.desc()).limit(SHOWN_MATCHES + 1)
    found = list(conn.scalars(statement))
    if len(found) > 1:
        more = ", …" if len(found) > SHOWN_MATCHES else ""
        raise invalid(field, "is the beginning of several ids", text, ", ".join(found[:SHOWN_MATCHES]) + more)
    return found[0] if found else None
