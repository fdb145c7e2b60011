"""Reads one CSV file, every value as text: what is a number is decided for whole columns.

Each record is counted and checked before Polars reads the file, since a stray quote or a short row would otherwise
move values into other rows or columns without a word. `lepton predict --rows` follows the same rules.
"""

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from lepton_core.errors import LeptonError, invalid

SEPARATORS = ",;\t|"
_HEADER_CHARS = 1024 * 1024
# A single value of the table may be a long text.
MAX_VALUE_CHARS = 64 * 1024 * 1024
# Excel writes the separator into a first line of its own.
_SEPARATOR_LINE = re.compile(r"^\s*\"?sep=(.)\"?\s*$", re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


class _Layout:
    """The separator, the header, and how many lines stand before the header."""

    def __init__(self, path: Path, name: str) -> None:
        with path.open(encoding="utf-8-sig", newline="") as file:
            line = file.readline(_HEADER_CHARS)
            found = _SEPARATOR_LINE.match(line)
            self.skipped = 1 if found else 0
            if found:
                line = file.readline(_HEADER_CHARS)
        if not line.strip():
            raise pl.exceptions.NoDataError(name)
        # A separator within a quoted name separates nothing.
        bare = _QUOTED.sub("", line)
        self.separator = found[1] if found else max(SEPARATORS, key=bare.count)
        self.header = [column.strip() for column in next(csv.reader([line], delimiter=self.separator))]


def read_csv(path: Path, name: str) -> pl.DataFrame:
    """Raises INVALID naming the file, and the row that does not fit."""
    layout = _Layout(path, name)
    if problem := _header_problem(layout.header, name):
        raise problem
    rows, plain = _check_records(path, name, layout)
    if plain:
        # An open file, since a path would be read as a pattern.
        with path.open("rb") as content:
            frame = pl.read_csv(
                content, separator=layout.separator, infer_schema=False, skip_lines=layout.skipped, quote_char=None
            )
        if frame.height == rows and frame.width == len(layout.header):
            return frame.rename(dict(zip(frame.columns, layout.header, strict=True)))
    return _read_quoted(path, layout)


def _read_quoted(path: Path, layout: _Layout) -> pl.DataFrame:
    columns: list[list[str]] = [[] for _ in layout.header]
    for _, record in _records(path, layout):
        for column, value in zip(columns, record, strict=True):
            column.append(value)
    return pl.DataFrame(dict(zip(layout.header, columns, strict=True)), schema=dict.fromkeys(layout.header, pl.String))


def _records(path: Path, layout: _Layout) -> Iterator[tuple[int, list[str]]]:
    """(line where it begins, values) of each row. Empty lines hold no row, except in a table of one column."""
    csv.field_size_limit(MAX_VALUE_CHARS)
    with path.open(encoding="utf-8-sig", newline="") as file:
        for _ in range(layout.skipped):
            file.readline()
        reader = csv.reader(file, delimiter=layout.separator, strict=True)
        next(reader)
        while True:
            line = layout.skipped + reader.line_num + 1
            try:
                record = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise _BrokenRecord(line, error) from None
            if record or len(layout.header) == 1:
                yield line, record or [""]


class _BrokenRecord(Exception):
    def __init__(self, line: int, error: csv.Error) -> None:
        super().__init__(str(error))
        self.line = line


def _check_records(path: Path, name: str, layout: _Layout) -> tuple[int, bool]:
    """How many rows there are, and whether none of their values needs quotes."""
    wanted, row = len(layout.header), 0
    try:
        for line, record in _records(path, layout):
            row += 1
            if len(record) != wanted:
                count = "1 value" if len(record) == 1 else f"{len(record)} values"
                raise invalid(
                    "data",
                    f"{name}, row {row} (line {line}) has {count}, and the header {wanted} columns",
                    layout.separator.join(record)[:200],
                    "one value for each column, empty where it is missing; a value that holds the separator in quotes",
                )
    except _BrokenRecord as error:
        raise _bad_quote(name, row + 1, error.line) from None
    with path.open("rb") as file:
        plain = not any(b'"' in part for part in iter(lambda: file.read(1 << 20), b""))
    return row, plain


def _bad_quote(name: str, row: int, line: int) -> LeptonError:
    return invalid(
        "data",
        f"{name}, row {row} (line {line}): the value opens with a quote that does not close before the next separator",
        allowed='a value in quotes from end to end, with "" for each quote in it; or no quote at its beginning',
    )


def _header_problem(header: list[str], name: str) -> LeptonError | None:
    if "" in header:
        place = header.index("") + 1
        allowed = "a name for each column"
        if place == 1:
            allowed += "; if it is an index that pandas wrote, write the file with index=False"
        return invalid("data", f"{name}: column {place} has no name", allowed=allowed)
    if twice := [column for column in header if header.count(column) > 1]:
        return invalid(
            "data", f"{name}: two columns are named {twice[0]!r}", allowed="a name of its own for each column"
        )
    return None
