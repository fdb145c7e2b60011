"""Reads page tokens, positions and limits of requests."""

from lepton_core.api.limits import MAX_PAGE_ENTRIES
from lepton_core.errors import invalid
from lepton_core.ids import check_label, is_id

DEFAULT_PAGE = 50


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
