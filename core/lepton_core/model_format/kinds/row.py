"""Rows of a table: a value for each column."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_core.data_layout.csv_records import SUFFIXES
from lepton_core.errors import invalid
from lepton_core.model_format.features.steps import Concatenate, Impute, Lookup
from lepton_core.model_format.features.values import NumberFormat, as_text, parse_number
from lepton_core.model_format.kinds.port import FieldErrors, InputKind, Option, files_in, names_of
from lepton_core.model_format.kinds.row_files import header_of, read_rows, row_in
from lepton_core.model_format.kinds.values import row_of, rows_of
from lepton_core.model_format.signature import NUMPY_TYPES, Datatype, Signature
from lepton_core.validation import near_matches

if TYPE_CHECKING:
    from lepton_core.model_format.kinds.port import Tensors

NUMBER_RULE = "a finite number, or null when it is missing"
# A row of more columns would fill the screen.
MAX_EXAMPLE_COLUMNS = 60
# Near matches are looked for among so many names, for so many wrong ones: each costs microseconds.
MAX_COMPARED_NAMES = 2_000
MAX_COMPARED = 5


class RowInput(InputKind):
    """Each instance: {column: value}, or {"row": {…}}; columns that are absent or null count as missing values.

    The target and the columns that the training left out (`ignored` of the signature) may be there, and are not read.
    """

    name = "row"
    one = "row"
    many = "rows"
    options = (
        Option("row", "JSON", 'One row as JSON: {"age": 41, "job": "nurse"}, or a file of it.', row_in),
        Option(
            "rows", "FILE", "Many rows: a .csv, .tsv or .jsonl file.", lambda text: read_rows(Path(text)), many=True
        ),
    )
    schema = {
        "type": "object",
        "description": "Values by the names of the model's columns.",
        "additionalProperties": {"anyOf": [{"type": kind} for kind in ("number", "string", "boolean", "null")]},
    }
    example = {"age": 41, "job": "nurse"}

    def decode(self, signature: Signature, instances: Sequence[Any]) -> "Tensors":
        import numpy as np

        errors = FieldErrors()
        rows = _rows(signature, instances, errors)
        errors.raise_any()
        tensors: Tensors = {}
        for column in signature.inputs:
            values = [row.get(column.name) for row in rows]
            if column.datatype is Datatype.BYTES:
                array = np.array([as_text(value) for value in values], dtype=object)
            else:
                form = signature.number_formats.get(column.name, NumberFormat.PLAIN)
                numbers = _numbers(values, column.name, form, errors)
                array = np.array(numbers, dtype=NUMPY_TYPES[column.datatype])
            tensors[column.name] = array.reshape(len(rows), 1)
        errors.raise_any()
        return tensors

    def to_json(self, value: Any) -> dict[str, Any]:
        """A mapping of columns to values, a named tuple, a pandas Series, or a table of one row."""
        row = row_of(value)
        if row is None:
            allowed = "a mapping of columns to values, or a table of one row"
            raise invalid("row", "not a row", type(value).__name__, allowed)
        return row

    def list_to_json(self, values: Any) -> list[Any]:
        """Rows in a list, or a pandas, Polars or Arrow table."""
        rows = rows_of(values)
        return [self.to_json(value) for value in values] if rows is None else rows

    def arguments_to_try(self, signature: Signature, card: Mapping[str, Any], folder: Path) -> list[str]:
        """A row of what is usual in the training data; for many columns, a file in `folder` that has them."""
        names = {tensor.name for tensor in signature.inputs}
        if len(names) > MAX_EXAMPLE_COLUMNS:
            tables = (file for file in files_in(folder) if file.suffix.lower() in SUFFIXES)
            file = next((file for file in tables if names <= set(header_of(file))), None)
            return ["--rows", file.name] if file else []
        usual = {**dict(_usual(signature)), **_usual_in(card)}
        row = {tensor.name: usual.get(tensor.name) for tensor in signature.inputs}
        return ["--row", json.dumps(row, ensure_ascii=False)]


def _rows(signature: Signature, instances: Sequence[Any], errors: FieldErrors) -> list[Mapping[str, Any]]:
    columns = {column.name: None for column in signature.inputs}
    known = columns.keys() | {signature.target, *signature.ignored}
    rows: list[Mapping[str, Any]] = []
    for index, instance in enumerate(instances):
        row = instance
        if isinstance(row, Mapping) and isinstance(row.get("row"), Mapping) and "row" not in columns:
            row = row["row"]
        field = ("instances", index)
        if not isinstance(row, Mapping):
            errors.add_error(invalid(field, "not a row", row, "an object of column names and values"))
            continue
        rows.append(row)
        for name, value in row.items():
            if name not in known:
                shown = str(name)[:256]
                allowed = _meant(shown, list(columns), len(errors.found))
                errors.add((*field, shown), "the model has no such column", allowed=allowed)
            elif name in columns and isinstance(value, Mapping | list | tuple):
                errors.add((*field, name), "not a single value", allowed="a number, text or null")
        if not any(name in columns for name in row):
            errors.add(field, "the row has no column of the model", allowed=names_of(list(columns)))
    return rows


def _meant(name: str, columns: list[str], errors_before: int) -> str:
    near: list[str] = []
    if errors_before < MAX_COMPARED:
        near = near_matches(name, columns[:MAX_COMPARED_NAMES])
    return f"did you mean {' or '.join(near)}?" if near else names_of(columns)


def _numbers(values: Sequence[Any], column: str, form: NumberFormat, errors: FieldErrors) -> list[float]:
    numbers = []
    for index, value in enumerate(values):
        number = parse_number(value, form)
        # No training data held an infinity either, and an answer about it would look like any other.
        if number is None or math.isinf(number):
            message = "not a number" if number is None else "not a finite number"
            errors.add_error(invalid(("instances", index, column), message, value, NUMBER_RULE))
            number = math.nan
        numbers.append(number)
    return numbers


def _usual_in(card: Mapping[str, Any]) -> Mapping[str, Any]:
    data = card.get("data")
    usual = data.get("usual") if isinstance(data, Mapping) else None
    return usual if isinstance(usual, Mapping) else {}


def _usual(signature: Signature) -> Iterator[tuple[str, object]]:
    """Column → what the preprocessing puts where a number is missing, or the first category that it knows.

    The card says which category is the most frequent; one of an imported model need not.
    """
    columns = {step.output: step.inputs for step in signature.steps if isinstance(step, Concatenate)}
    for step in signature.steps:
        if isinstance(step, Impute):
            yield from zip(columns.get(step.input, (step.input,)), step.values, strict=False)
        elif isinstance(step, Lookup):
            for name, words in zip(step.inputs, step.vocabularies, strict=False):
                yield name, next(filter(None, words), None)


ROW = RowInput()
