"""The index for searching runs: each label, parameter and final metric is a row, besides the run's JSON.

Only the JSON is shown. A text that is too long for an index is shortened; a row with a too long name is left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from lepton_core.validation import canonical_json
from lepton_registry.database.engine import insert_new_rows, table
from lepton_registry.runs.tables import RunLabelRow, RunMetricRow, RunParameterRow

LABELS = table(RunLabelRow)
PARAMETERS = table(RunParameterRow)
METRICS = table(RunMetricRow)
# An index entry in PostgreSQL has at most 2,704 bytes, and a character up to four.
MAX_NAME_CHARS = 256
MAX_TEXT_CHARS = 250
MAX_ROWS_A_RUN = 1_000

Row = dict[str, Any]


def record_submitted(conn: sa.Connection, runs: Sequence[tuple[str, str, Mapping[str, Any]]]) -> None:
    """Labels and parameters of new runs: (project, run id, job)."""
    labels: list[Row] = []
    parameters: list[Row] = []
    for project, run_id, job in runs:
        of_run = {"project": project, "run_id": run_id}
        labels += [of_run | each for each in label_rows(job.get("labels") or {})]
        parameters += [of_run | each for each in parameter_rows(job.get("train") or {})]
    insert_new_rows(conn, LABELS, labels)
    insert_new_rows(conn, PARAMETERS, parameters)


def record_result(conn: sa.Connection, project: str, run_id: str, metrics: Mapping[str, float]) -> None:
    """Adds the final metrics of a run that succeeded."""
    insert_new_rows(conn, METRICS, [{"project": project, "run_id": run_id} | each for each in metric_rows(metrics)])


def runs_with_label(project: str, name: str, value: str) -> sa.Select[tuple[str]]:
    """Ids of the runs with that label. Values are equal if their first MAX_TEXT_CHARS characters are."""
    mine = sa.and_(LABELS.c.project == project, LABELS.c.name == _storable(name), LABELS.c.value == _text(value))
    return sa.select(LABELS.c.run_id).where(mine)


def label_rows(labels: Mapping[str, str]) -> list[Row]:
    return _bounded({name: {"value": _text(value)} for name, value in labels.items()})


def parameter_rows(settings: Mapping[str, Any]) -> list[Row]:
    """Nested settings are named with dots (`optimizer.lr`). `text` is the value as it is written in the job (lists as
    JSON); `number` is set for numbers."""
    return _bounded({name: {"text": _text(value), "number": _number(value)} for name, value in _leaves(settings, "")})


def metric_rows(metrics: Mapping[str, float]) -> list[Row]:
    numbers = {name: _number(value) for name, value in metrics.items()}
    return _bounded({name: {"value": value} for name, value in numbers.items() if value is not None})


def _bounded(rows: Mapping[str, Row]) -> list[Row]:
    short = [{"name": _storable(name)} | row for name, row in rows.items() if len(name) <= MAX_NAME_CHARS]
    return short[:MAX_ROWS_A_RUN]


def _leaves(settings: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    return _storable(value if isinstance(value, str) else canonical_json(value))[:MAX_TEXT_CHARS]


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _storable(text: str) -> str:
    """Without zero characters, which PostgreSQL refuses."""
    return text.replace("\0", "\ufffd")
