"""Which columns are numbers and which are categories, and their values, each checked."""

import difflib
from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lepton_core.errors import LeptonError, invalid
from lepton_core.model_format.features.pipeline import MISSING_TEXTS, as_text
from lepton_trainer.recipes.tabular.settings import Settings
from lepton_trainer.recipes.tabular.table import Table

Numbers = NDArray[np.float64]

# A column with this share of numbers is meant to hold numbers, and the rest are mistakes to be named.
MOSTLY = 0.95


def check_names(table: Table, settings: Settings) -> None:
    """Raises INVALID for a column named in the settings that the table has not."""
    columns = table.frame.columns
    fields = {"numeric": settings.numeric, "categorical": settings.categorical, "ignore": settings.ignore}
    for field, names in ({"target": (settings.target,)} | fields).items():
        for name in names:
            if name not in columns:
                near = difflib.get_close_matches(name, columns, 3, 0.6)
                hint = f"{' or '.join(near)}? " if near else ""
                files = ", ".join(file for file, _ in table.files[:3])
                message = f"{files} has no such column"
                raise invalid(f"train.{field}", message, name, f"{hint}one of {', '.join(columns)[:1000]}")
    if both := set(settings.numeric) & set(settings.categorical):
        raise invalid("train.numeric", "a column is either numeric or categorical", min(both))


def texts(column: pl.Series) -> pl.Series:
    """The column as trimmed text; missing values in any of their spellings are null."""
    if column.dtype.is_nested():
        raise invalid(
            "data", f"column {column.name!r} holds lists or structures", allowed="single values, or `ignore` it"
        )
    if column.dtype == pl.String:
        stripped = column.str.strip_chars()
    else:
        stripped = pl.Series(column.name, [as_text(value) for value in column.to_list()], pl.String)
    return stripped.set(stripped.is_in(list(MISSING_TEXTS)), None)


def numbers(table: Table, name: str) -> Numbers:
    """The column as FP64, NaN where a value is missing. Raises INVALID naming file and row of what is no number."""
    parsed, wrong = _parsed(table.frame[name])
    if wrong is not None:
        raise no_number(table, name, wrong)
    infinite = np.flatnonzero(np.isinf(parsed))
    if len(infinite):
        raise no_number(table, name, int(infinite[0]))
    return parsed


def is_numeric(table: Table, name: str) -> bool:
    """Guesses what a column is meant to be."""
    column = table.frame[name]
    if column.dtype.is_numeric():
        return True
    present = texts(column).drop_nulls()
    return len(present) > 0 and present.cast(pl.Float64, strict=False).is_not_null().sum() >= MOSTLY * len(present)


def is_empty(table: Table, name: str) -> bool:
    return texts(table.frame[name]).null_count() == table.frame.height


def words(table: Table, name: str) -> list[str]:
    """The column as text, the empty string where a value is missing."""
    values: list[str] = texts(table.frame[name]).fill_null("").to_list()
    return values


def no_number(table: Table, name: str, row: int) -> LeptonError:
    place, value = table.place(row), table.frame[name][row]
    return invalid(
        "data",
        f"{place}: column {name!r} should be a number",
        str(value),
        f"a finite number, or nothing where it is missing (or name {name!r} in `categorical` or `ignore`)",
    )


def _parsed(column: pl.Series) -> tuple[Numbers, int | None]:
    """Values, and the first row that is neither a number nor missing."""
    if column.dtype.is_numeric():
        return column.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64), None
    text = texts(column)
    parsed = text.cast(pl.Float64, strict=False)
    wrong = (text.is_not_null() & parsed.is_null()).arg_true()
    return parsed.fill_null(float("nan")).to_numpy().astype(np.float64), int(wrong[0]) if len(wrong) else None


def ordered_labels(values: Sequence[str]) -> tuple[str, ...]:
    """Numbers by value, everything else by spelling."""
    labels = set(values)
    try:
        return tuple(sorted(labels, key=float))
    except ValueError:
        return tuple(sorted(labels))
