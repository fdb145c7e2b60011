"""Plain JSON values from what Python programs hold: scalars and arrays of numpy or torch, dates, missing values.

Objects are known by what they can do, so that none of those packages is imported.
"""

import datetime as dt
import decimal
import math
from collections.abc import Iterable, Mapping
from typing import Any


def plain_value(value: Any) -> Any:
    """One entry of a row; every spelling of a missing value (NaN, NaT, pandas' NA) becomes None."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    # pandas' NA compares to nothing; NaT is a date that does not equal itself.
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:
        return plain_value(value.item())
    return value


def nested_lists(value: Any) -> Any:
    """An array of any library, or lists of such, as nested lists of plain numbers and text."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "to_list"):
        return value.to_list()
    if isinstance(value, list | tuple):
        return [nested_lists(entry) for entry in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def row_of(value: Any) -> dict[str, Any] | None:
    """One row: a mapping, a named tuple, a pandas Series, or a table of one row; None for anything else."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    elif not isinstance(value, Mapping):
        table = rows_of(value)
        if table is not None:
            return table[0] if len(table) == 1 else None
        value = value.to_dict() if hasattr(value, "to_dict") else None
    if not isinstance(value, Mapping):
        return None
    return {str(name): plain_value(entry) for name, entry in value.items()}


def rows_of(table: Any) -> list[dict[str, Any]] | None:
    """The rows of a pandas or Polars frame or of an Arrow table; None for anything else."""
    found: Iterable[Mapping[Any, Any]]
    if hasattr(table, "to_dicts"):
        found = table.to_dicts()
    elif hasattr(table, "to_pylist") and hasattr(table, "column_names"):
        found = table.to_pylist()
    elif hasattr(table, "to_dict") and hasattr(table, "columns"):
        found = table.to_dict(orient="records")
    else:
        return None
    return [{str(name): plain_value(entry) for name, entry in row.items()} for row in found]
