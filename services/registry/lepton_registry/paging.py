"""Reads page tokens, positions and limits of requests, and the rows of a page."""

from typing import Any, NamedTuple

import sqlalchemy as sa

from lepton_core.api.limits import MAX_PAGE_ENTRIES
from lepton_core.errors import invalid
from lepton_core.ids import check_label, is_id

DEFAULT_PAGE = 50
# Of the rows of one page: a run or a model version may have documents of megabytes, and every answer must fit into one
# message (DEFAULT_MESSAGE_BYTES), or the list could never be read again.
MAX_PAGE_BYTES = 8 * 1024 * 1024
_ROWS_AT_ONCE = 16


class Page(NamedTuple):
    """`more`: whether there are rows after these."""

    rows: list[sa.Row[Any]]
    more: bool


def read_page(conn: sa.Connection, statement: sa.Select[Any], size: int) -> Page:
    """The first `size` rows, fewer if they exceed MAX_PAGE_BYTES together, but at least one."""
    rows: list[sa.Row[Any]] = []
    left = MAX_PAGE_BYTES
    # In parts, so that rows that do not fit are not in memory either.
    with conn.execute(statement.limit(size + 1).execution_options(yield_per=_ROWS_AT_ONCE)) as found:
        for row in found:
            left -= _bytes(row)
            if rows and (len(rows) == size or left < 0):
                return Page(rows, more=True)
            rows.append(row)
    return Page(rows, more=False)


def _bytes(row: sa.Row[Any]) -> int:
    texts = (value for value in row if isinstance(value, str))
    return sum(len(text) if text.isascii() else len(text.encode(errors="replace")) for text in texts)


def position_of(cursor: str) -> int:
    """Parses a cursor; an empty one is the beginning."""
    if not cursor:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise invalid("cursor", "is not a cursor", cursor, "next_cursor of an earlier answer, or empty")
    return int(cursor)


def page_limit(asked: int, most: int, default: int | None = None) -> int:
    if asked < 0:
        raise invalid("limit", "negative", asked, f"1 to {most}, or 0")
    return min(asked or default or most, most)


def id_token(token: str, prefix: str) -> str:
    """The page token of lists that are sorted by id: the last id shown; empty for the first page."""
    if token and not is_id(token, prefix):
        raise invalid("page_token", "is not one that was given out", token, "the next_page_token of the page before")
    return token


def page_size(asked: int) -> int:
    if asked < 0:
        raise invalid("page_size", "is negative", asked, f"1 to {MAX_PAGE_ENTRIES}; 0 for {DEFAULT_PAGE}")
    return min(asked, MAX_PAGE_ENTRIES) if asked else DEFAULT_PAGE


def name_token(token: str) -> str:
    """The page token of lists that are sorted by name: the last name shown."""
    return check_label(token, "page_token") if token else ""


def number_token(token: str) -> int:
    """The page token of lists that are sorted by number: the last number shown; 0 for the first page."""
    if not token:
        return 0
    if not (token.isascii() and token.isdigit() and len(token) <= 15):
        raise invalid("page_token", "is not one that was given out", token, "the next_page_token of the page before")
    return int(token)
