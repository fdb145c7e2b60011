"""`lepton predict`: ask a deployment."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType

from lepton.cli import complete, render
from lepton.cli.session import Json, connect
from lepton.resources.predictions import Prediction
from lepton_core.data_layout.csv_records import SUFFIXES, open_csv
from lepton_core.errors import ErrorCode, FieldError, LeptonError, invalid
from lepton_core.plain_text import plain

if TYPE_CHECKING:
    from lepton.client import Client

ROWS_A_CALL = 200
LINES = (".jsonl", ".ndjson")
INSTANCE = re.compile(r"instances\[(?P<index>[0-9]{1,9})\](?:\.(?P<column>(?=\S)[^:\n]*))?")
EXAMPLE = 'an object, e.g. {"age": 41, "job": "nurse"}'
SHOWN_LABELS = 5
BAR_LETTERS = 30


def predict(
    name: Annotated[str, typer.Argument(help="The deployment.", autocompletion=complete.deployments)],
    image: Annotated[Path | None, typer.Option("--image", help="An image file.")] = None,
    row: Annotated[
        str | None, typer.Option("--row", help='One row as JSON: {"age": 41, "job": "nurse"}, or a file of it.')
    ] = None,
    rows: Annotated[Path | None, typer.Option("--rows", help="Many rows: a .csv, .tsv or .jsonl file.")] = None,
    as_json: Json = False,
) -> None:
    """Ask a deployment about an image, a row or a file of rows.

    With --rows, each prediction is one line (with --json: one JSON object a line), in the order of the file.

    Examples: lepton predict digits --image seven.png · lepton predict tumours --rows new.csv
    """
    if [image, row, rows].count(None) != 2:
        raise invalid("input", "nothing clear to ask", allowed="exactly one of --image, --row and --rows")
    with connect() as client:
        if rows is not None:
            _predict_rows(client, name, rows, as_json)
            return
        try:
            prediction = client.predict(name, image=image, row=None if row is None else given_row(row))
        except LeptonError as error:
            raise _with_known(client, name, in_own_words(error)) from None
    # As the server said it, without the fields that this model's kind does not have.
    render.show(prediction.model_dump(exclude_none=True), as_json, lambda: _drawn(prediction))


def _predict_rows(client: Client, name: str, file: Path, as_json: bool) -> None:
    reader, done = read_rows(file), 0
    while batch := list(islice(reader, ROWS_A_CALL)):
        try:
            answers = client.predict_rows(name, batch)
        except LeptonError as error:
            raise _with_known(client, name, in_own_words(error, done + 1)) from None
        for prediction in answers:
            _print_line(prediction, as_json)
        done += len(batch)


def in_own_words(error: LeptonError, first_row: int = 0) -> LeptonError:
    """Fields named as the command line has them, not the request that was made of it.

    `instances[3].age` is `row 204: age` of a file whose request began at row 201, and `age` of a single row (0).
    """

    def named(found: re.Match[str]) -> str:
        column = found["column"] or ""
        if not first_row:
            return column or "the input"
        row = f"row {first_row + int(found['index'])}"
        return f"{row}: {column}" if column else row

    fields = [replace(each, field=INSTANCE.sub(named, each.field)) for each in error.fields]
    detail = INSTANCE.sub(named, error.detail)
    return LeptonError(
        error.code, detail, fields, request_id=error.request_id, retry_after_seconds=error.retry_after_seconds
    )


def _with_known(client: Client, name: str, error: LeptonError) -> LeptonError:
    """A wrong name, with the right ones."""
    if error.code is not ErrorCode.NOT_FOUND or not error.request_id:
        # Also said of a file that is not here: only the server's answers carry an id.
        return error
    known = ", ".join(each.name for each in client.deployments.list()) or "none yet: lepton deploy NAME MODEL"
    return LeptonError(error.code, error.detail, [FieldError("deployment", error.detail, name, known)])


def read_rows(file: Path) -> Iterator[dict[str, Any]]:
    """Rows of a CSV file (every value as text, an empty one as missing) or of a file with one JSON object a line."""
    kind = file.suffix.lower()
    if kind not in SUFFIXES + LINES:
        raise invalid("rows", "unknown kind of file", str(file), "a name that ends in .csv, .tsv, .jsonl or .ndjson")
    try:
        if kind in SUFFIXES:
            table = open_csv(file, str(file), "rows")
            for values in table.records():
                yield {name: value if value.strip() else None for name, value in zip(table.header, values, strict=True)}
            return
        with file.open(encoding="utf-8-sig", newline="") as lines:
            yield from _json_rows(file, lines)
    except FileNotFoundError:
        raise LeptonError(ErrorCode.NOT_FOUND, f"{file}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise LeptonError(ErrorCode.INVALID, f"{file}: cannot be read: {error}") from None


def _json_rows(file: Path, lines: Any) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _row(line, f"{file}, line {number}")


def given_row(text: str) -> dict[str, Any]:
    """What `--row` was given: JSON, or the path of a file that holds it."""
    if not text.lstrip().startswith("{"):
        # A text that cannot be a path is no file either.
        with suppress(OSError, ValueError):
            return _row(Path(text).read_text(encoding="utf-8-sig"), text)
    return _row(text)


def _row(text: str, field: str = "--row") -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise invalid(field, f"not JSON: {error}", text, EXAMPLE) from None
    if not isinstance(found, dict):
        raise invalid(field, "not a JSON object", text, EXAMPLE)
    return found


def _print_line(prediction: Prediction, as_json: bool) -> None:
    if as_json:
        render.print_json_line(prediction.model_dump(exclude_none=True))
        return
    sure = f"\t{max(prediction.probabilities.values()):.3f}" if prediction.probabilities else ""
    typer.echo(plain(_answer(prediction)) + sure)


def _answer(prediction: Prediction) -> str:
    if prediction.label is not None:
        return prediction.label
    if prediction.value is not None:
        return render.number(prediction.value)
    return json.dumps((prediction.model_extra or {}).get("outputs"), ensure_ascii=False)


def _drawn(prediction: Prediction) -> RenderableType:
    parts: list[RenderableType] = [render.fields({"answer": _answer(prediction)})]
    if prediction.probabilities:
        likely = sorted(prediction.probabilities.items(), key=lambda item: -item[1])[:SHOWN_LABELS]
        rows = [(label, f"{value:.3f}", "█" * round(value * BAR_LETTERS)) for label, value in likely]
        parts += ["", render.table(("LABEL", "#PROBABILITY", ""), rows)]
    about = {
        "model": f"{prediction.model}@{prediction.model_version}",
        "prediction": prediction.prediction_id,
        "where from": f"lepton lineage {prediction.prediction_id}",
    }
    return Group(*parts, "", render.fields(about))
