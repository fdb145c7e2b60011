"""Labels, parameters and final metrics of runs in tables of their own, filled from the JSON of the runs there are.

The JSON stays: it is what is shown.
"""

import json
import math
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "2026_11_28_1140"
down_revision = "2026_11_21_1135"

Rows = dict[str, dict[str, Any]]
BATCH = 500
MAX_NAME_CHARS, MAX_TEXT_CHARS, MAX_ROWS_A_RUN, MAX_DEPTH = 256, 250, 1_000, 64
RUNS = sa.table("runs", *(sa.column(name) for name in ("id", "project", "spec_json", "metrics_json")))


def upgrade() -> None:
    text, number = (sa.Column("text", sa.String(), nullable=False), sa.Column("number", sa.Float(), nullable=True))
    labels = _create("run_labels", sa.Column("value", sa.String(), nullable=False))
    parameters = _create("run_parameters", text, number)
    metrics = _create("run_metrics", sa.Column("value", sa.Float(), nullable=False))
    connection = op.get_bind()
    for run in _runs(connection):
        of_run = {"project": run.project, "run_id": run.id}
        spec, final = _object(run.spec_json), _object(run.metrics_json)
        settings = dict(_leaves(_inner(spec, "train"), "", MAX_DEPTH))
        _insert(connection, labels, of_run, {n: {"value": _text(v)} for n, v in _inner(spec, "labels").items()})
        values: Rows = {name: {"text": _text(value), "number": _number(value)} for name, value in settings.items()}
        _insert(connection, parameters, of_run, values)
        numbers = {name: _number(value) for name, value in final.items()}
        _insert(connection, metrics, of_run, {n: {"value": v} for n, v in numbers.items() if v is not None})


def _create(name: str, *values: sa.Column[Any]) -> sa.Table:
    columns = [sa.Column(column, sa.String(), nullable=False) for column in ("run_id", "name", "project")]
    made = op.create_table(name, *columns, *values, sa.PrimaryKeyConstraint("run_id", "name"))
    for value in values:
        op.create_index(f"ix_{name}_{value.name}", name, ["project", "name", value.name, "run_id"])
    return made


def _runs(connection: sa.Connection) -> Iterator[sa.Row[Any]]:
    last = ""
    while rows := connection.execute(sa.select(RUNS).where(RUNS.c.id > last).order_by(RUNS.c.id).limit(BATCH)).all():
        yield from rows
        last = rows[-1].id


def _object(text: str) -> dict[str, Any]:
    """A document that nobody can read has nothing to be found by."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _inner(document: dict[str, Any], name: str) -> dict[str, Any]:
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def _leaves(settings: dict[str, Any], prefix: str, levels: int) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict) and value and levels:
            yield from _leaves(value, f"{prefix}{name}.", levels - 1)
        else:
            yield f"{prefix}{name}", value


def _insert(connection: sa.Connection, into: sa.Table, of_run: dict[str, str], values: Rows) -> None:
    rows = {_storable(name): row for name, row in values.items() if len(name) <= MAX_NAME_CHARS}
    if rows:
        kept = list(rows.items())[:MAX_ROWS_A_RUN]
        connection.execute(sa.insert(into), [of_run | {"name": name} | row for name, row in kept])


def _text(value: Any) -> str:
    if not isinstance(value, str):
        value = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return _storable(value)[:MAX_TEXT_CHARS]


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _storable(text: str) -> str:
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
