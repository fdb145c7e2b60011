"""Reads a CSV file row by row, every value as text, and refuses what could be read in two ways.

Training and `lepton predict --rows` both read by these rules. A stray quote or a short row would otherwise move values
into other rows or columns without a word.
"""

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from lepton_core.errors import LeptonError, invalid

SUFFIXES = (".csv", ".tsv")
SEPARATORS = ",;\t|"
# A single value of a table may be a long text.
MAX_VALUE_CHARS = 64 * 1024 * 1024
_HEADER_CHARS = 1024 * 1024
# Excel writes the separator into a first line of its own.
_SEPARATOR_LINE = re.compile(r"^\s*\"?sep=(.)\"?\s*$", re.IGNORECASE)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


@dataclass(frozen=True)
class CsvFile:
    """`name` is what errors call the file, `field` the input they are about. `skipped`: lines before the header."""

    path: Path
    name: str
    field: str
    separator: str
    header: tuple[str, ...]
    skipped: int

    def records(self) -> Iterator[list[str]]:
        """The values of each row, one for each column. Empty lines hold no row, except in a table of one column.

        Raises INVALID naming the file, and the row and line that do not fit.
        """
        with _decoding(self.path, self.name, self.field), self.path.open(encoding="utf-8-sig", newline="") as file:
            for _ in range(self.skipped):
                file.readline()
            reader = csv.reader(file, delimiter=self.separator, strict=True)
            next(reader)
            row = 0
            while True:
                line = self.skipped + reader.line_num + 1
                try:
                    record = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    raise _broken(self.field, f"{self.name}, row {row + 1} (line {line})", error) from None
                if not record and len(self.header) > 1:
                    continue
                row += 1
                if len(record or [""]) != len(self.header):
                    raise self._wrong_count(row, line, record)
                yield record or [""]

    def _wrong_count(self, row: int, line: int, record: list[str]) -> LeptonError:
        count = "1 value" if len(record) == 1 else f"{len(record)} values"
        return invalid(
            self.field,
            f"{self.name}, row {row} (line {line}) has {count}, and the header {len(self.header)} columns",
            self.separator.join(record)[:200],
            "one value for each column, empty where it is missing; a value that holds the separator in quotes",
        )


def open_csv(path: Path, name: str, field: str = "data") -> CsvFile:
    """Finds separator and header. Raises INVALID for an empty file, and for names that are empty or stand twice."""
    with _decoding(path, name, field), path.open(encoding="utf-8-sig", newline="") as file:
        line = file.readline(_HEADER_CHARS)
        found = _SEPARATOR_LINE.match(line)
        if found:
            line = file.readline(_HEADER_CHARS)
        if not line.strip():
            problem = f"{name}: the first line is empty" if file.read(1) else f"{name} is empty"
            raise invalid(field, problem, allowed="a line with the names of the columns, and rows")
        # A separator within a quoted name separates nothing.
        bare = _QUOTED.sub("", line)
        separator = found[1] if found else max(SEPARATORS, key=bare.count)
        try:
            header = next(csv.reader(chain([line], file), delimiter=separator, strict=True))
        except csv.Error as error:
            raise _broken(field, f"{name}, the header", error) from None
    names = tuple(column.strip() for column in header)
    _check_header(names, name, field)
    return CsvFile(path, name, field, separator, names, 1 if found else 0)


@contextmanager
def _decoding(path: Path, name: str, field: str) -> Iterator[None]:
    """Turns a byte that is not UTF-8 into an error that names its row."""
    csv.field_size_limit(MAX_VALUE_CHARS)
    try:
        yield
    except UnicodeDecodeError:
        raise not_utf8(path, name, field) from None


def not_utf8(path: Path, name: str, field: str) -> LeptonError:
    # The error's own position counts from the start of a buffer. A line break is never part of a longer character.
    with path.open("rb") as file:
        for number, line in enumerate(file):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                place = f"{name}, row {number}" if number else f"{name}, the header"
                message = f"{place}: the byte 0x{line[error.start]:02x} is not UTF-8"
                return invalid(field, message, allowed="text in UTF-8: save it as UTF-8")
    return invalid(field, f"{name} is not UTF-8", allowed="text in UTF-8: save it as UTF-8")


def _broken(field: str, place: str, error: csv.Error) -> LeptonError:
    if "field limit" in str(error):
        return invalid(
            field,
            f"{place}: a value is longer than {MAX_VALUE_CHARS} characters",
            allowed="shorter values; a quote that does not close takes everything after it for one value",
        )
    return invalid(
        field,
        f"{place}: the value opens with a quote that does not close before the next separator",
        allowed='a value in quotes from end to end, with "" for each quote in it; or no quote at its beginning',
    )


def _check_header(header: tuple[str, ...], name: str, field: str) -> None:
    if "" in header:
        place = header.index("") + 1
        allowed = "a name for each column"
        if place == 1:
            allowed += "; if it is an index that pandas wrote, write the file with index=False"
        raise invalid(field, f"{name}: column {place} has no name", allowed=allowed)
    if twice := [column for column in header if header.count(column) > 1]:
        raise invalid(field, f"{name}: two columns are named {twice[0]!r}", allowed="a name of its own for each column")
