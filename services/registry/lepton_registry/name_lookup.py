"""The error for a name that does not exist, with similar names; shared by all named resources."""

import sqlalchemy as sa

from lepton_core.errors import ErrorCode, FieldError, LeptonError, shown
from lepton_core.validation import near_matches

MAX_NAMES = 500
MAX_SUGGESTIONS = 10


def not_found(
    field: str, value: str, message: str, allowed: str = "", code: ErrorCode = ErrorCode.NOT_FOUND
) -> LeptonError:
    """`code`: NOT_FOUND for the requested resource, INVALID or FAILED_PRECONDITION for one that is only referred to."""
    return LeptonError(code, f"{field}: {message}", [FieldError(field, message, shown(value), allowed)])


def names_like(conn: sa.Connection, parents: sa.FromClause, project: str, name: str) -> str:
    """Names of the project for an error's `allowed`, most similar first."""
    statement = sa.select(parents.c.name).where(parents.c.project == project)
    names = list(conn.scalars(statement.order_by(parents.c.name).limit(MAX_NAMES)))
    near = near_matches(name, names, most=MAX_SUGGESTIONS, cutoff=0.5)
    others = [other for other in names if other not in near]
    shown_names = [*near, *others][:MAX_SUGGESTIONS]
    more = f" and {len(names) - len(shown_names)} more" if len(names) > len(shown_names) else ""
    return ", ".join(shown_names) + more if names else "none yet"
