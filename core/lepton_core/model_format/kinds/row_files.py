"""Files of rows, as `lepton predict --rows` reads them: tables by the rules of training, or JSON lines."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lepton_core.data_layout.csv_records import SUFFIXES, open_csv
from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.model_format.kinds.json_files import LINE_SUFFIXES, instance_in, json_lines

EXAMPLE = 'an object, e.g. {"age": 41, "job": "nurse"}'


def read_rows(file: Path) -> Iterator[dict[str, Any]]:
    """Rows of a CSV file (every value as text, an empty one as missing) or of a file with one JSON object a line."""
    kind = file.suffix.lower()
    if kind not in SUFFIXES + LINE_SUFFIXES:
        raise invalid("rows", "unknown kind of file", str(file), "a name that ends in .csv, .tsv, .jsonl or .ndjson")
    if kind in LINE_SUFFIXES:
        yield from (_object(value, place) for place, value in json_lines(file, EXAMPLE))
        return
    try:
        table = open_csv(file, str(file), "rows")
        for values in table.records():
            yield {name: value if value.strip() else None for name, value in zip(table.header, values, strict=True)}
    except FileNotFoundError:
        raise LeptonError(ErrorCode.NOT_FOUND, f"{file}: no such file") from None
    except OSError as error:
        raise LeptonError(ErrorCode.INVALID, f"{file}: cannot be read: {error}") from None


def header_of(file: Path) -> list[str]:
    """The names of a table's columns; empty for what cannot be read as one."""
    try:
        return list(open_csv(file, str(file), "rows").header)
    except (OSError, LeptonError):
        return []


def row_in(text: str) -> dict[str, Any]:
    """What `--row` was given: a JSON object, or the path of a file that holds it."""
    place, value = instance_in(text, "--row", EXAMPLE)
    return _object(value, place)


def _object(value: Any, field: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(field, "not a JSON object", value, EXAMPLE)
    return value
