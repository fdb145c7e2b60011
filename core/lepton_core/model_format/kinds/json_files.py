"""JSON that a person gives on the command line: as the text itself, or in a file."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from lepton_core.errors import ErrorCode, LeptonError, invalid

LINE_SUFFIXES = (".jsonl", ".ndjson")


def instance_in(text: str, field: str, allowed: str) -> tuple[str, Any]:
    """(place, value) of the JSON in a text, or in the file whose path the text is. Raises INVALID for other text."""
    if not text.lstrip().startswith(("{", "[")):
        # A text that cannot be a path is not a file either.
        with suppress(OSError, ValueError):
            return text, _parsed(Path(text).read_text(encoding="utf-8-sig"), text, allowed)
    return field, _parsed(text, field, allowed)


def json_lines(file: Path, allowed: str) -> Iterator[tuple[str, Any]]:
    """(place, value) of each line of a file with one JSON value a line; empty lines are passed over."""
    if file.suffix.lower() not in LINE_SUFFIXES:
        raise invalid("file", "unknown kind of file", str(file), "a name that ends in .jsonl or .ndjson")
    try:
        with file.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    place = f"{file}, line {number}"
                    yield place, _parsed(line, place, allowed)
    except FileNotFoundError:
        raise LeptonError(ErrorCode.NOT_FOUND, f"{file}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise LeptonError(ErrorCode.INVALID, f"{file}: cannot be read: {error}") from None


def _parsed(text: str, field: str, allowed: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid(field, f"not JSON: {error}", text, allowed) from None
