"""What resources with names share: how a missing one is refused, and how lists are paged."""

import difflib

import sqlalchemy as sa

from lepton_core.api.limits import MAX_PAGE_ENTRIES
from lepton_core.errors import ErrorCode, FieldError, LeptonError, invalid, shown
from lepton_core.ids import check_label

DEFAULT_PAGE = 50
MAX_NAMES = 500
MAX_SUGGESTIONS = 10


def not_there(
    field: str, value: str, message: str, allowed: str = "", code: ErrorCode = ErrorCode.NOT_FOUND
) -> LeptonError:
    """`code` is NOT_FOUND for a thing asked for, INVALID or FAILED_PRECONDITION where it was only referred to."""
    return LeptonError(code, f"{field}: {message}", [FieldError(field, message, shown(value), allowed)])


def names_like(conn: sa.Connection, parents: sa.FromClause, project: str, name: str) -> str:
    """Names of the project for an error's `allowed`, nearest first."""
    statement = sa.select(parents.c.name).where(parents.c.project == project)
    names = list(conn.scalars(statement.order_by(parents.c.name).limit(MAX_NAMES)))
    near = difflib.get_close_matches(name, names, n=MAX_SUGGESTIONS, cutoff=0.5)
    others = [other for other in names if other not in near]
    shown_names = [*near, *others][:MAX_SUGGESTIONS]
    more = f" and {len(names) - len(shown_names)} more" if len(names) > len(shown_names) else ""
    return ", ".join(shown_names) + more if names else "none yet"


def page_size(asked: int) -> int:
    if asked < 0:
        raise invalid("page_size", "is negative", asked, f"1 to {MAX_PAGE_ENTRIES}; 0 for {DEFAULT_PAGE}")
    return min(asked, MAX_PAGE_ENTRIES) if asked else DEFAULT_PAGE


def name_token(token: str) -> str:
    """A page token of lists that are sorted by name: the last name shown."""
    return check_label(token, "page_token") if token else ""


def number_token(token: str) -> int:
    """A page token of lists that are sorted by number: the last number shown; 0 for the first page."""
    if not token:
        return 0
    if not (token.isascii() and token.isdigit() and len(token) <= 15):
        raise invalid("page_token", "is not one that was given out", token, "the next_page_token of the page before")
    return int(token)
