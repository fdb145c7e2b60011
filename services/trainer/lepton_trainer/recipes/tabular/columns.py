"""Finds the type of each column, number, date or category, and converts and checks its values."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lepton_core.errors import LeptonError, invalid
from lepton_core.model_format.features.values import (
    BOOLEANS,
    DATE_RULE,
    DECIMAL_COMMA,
    ISO_DATE,
    MISSING_NUMBERS,
    MISSING_TEXTS,
    PATTERNS,
    REMOVED,
    WHOLE_WITH_FRACTION,
    NumberFormat,
    as_text,
    parse_date,
)
from lepton_core.validation import near_matches
from lepton_trainer.recipes.tabular.settings import Settings
from lepton_trainer.recipes.tabular.table import Table

Numbers = NDArray[np.float64]

# A column with at least this part of numbers is numeric, and other values are errors.
MOSTLY = 0.95
# Beyond this, FP64 cannot represent every whole number: two ids could become equal.
LARGEST_EXACT = 2**53
_FORMATS = (NumberFormat.PERCENT, NumberFormat.COMMA_PERCENT, NumberFormat.GROUPED, NumberFormat.COMMA)
_GROUPED_FOR_SURE = r"^[+-]?[0-9]{1,3}(?:,[0-9]{3})+\.[0-9]*$|^[+-]?[0-9]{1,3}(?:,[0-9]{3}){2,}$"
_UNIT = r"^([$€£¥]?)\s?[+-]?[0-9][0-9.,']*\s?([^\s0-9.,]{0,4})$"
# Numbers of other notations: 1 234,5 and 1'234.5 and 1_234, (12.50) for -12.50, a minus sign of typography, -$5.
_SIGN = r"[+\-\u2212\u2013]?"
_GROUPS = "|".join(
    rf"[0-9]{{1,3}}(?:{separator}[0-9]{{3}})+" for separator in ("[ \\u00a0\\u2009\\u202f'\u2019_]", "[.]", ",")
)
_WRITTEN_NUMBER = rf"^{_SIGN}[$€£¥]?{_SIGN}(?:{_GROUPS}|[0-9]+)(?:[.,][0-9]+)?(?:[eE][+-]?[0-9]+)?\s?%?$|^\([0-9.,]+\)$"
# Ambiguous dates, such as 01/02/2024, and those with the name of a month.
_OTHER_DATE = (
    r"^[0-9]{1,2}[./-][0-9]{1,2}[./-](?:[0-9]{4}|[0-9]{2})(?:[ T].*)?$|^[0-9]{4}[./][0-9]{1,2}[./][0-9]{1,2}$"
    r"|^[0-9]{1,2}[ .-]{1,2}\pL{3,9}[ .,-]{1,2}(?:[0-9]{4}|[0-9]{2})$|^\pL{3,9}[ .]{1,2}[0-9]{1,2},? [0-9]{4}$"
)
_TIME = r"^[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(?: ?[AaPp]\.?[Mm]\.?)?$"
_LEADING_ZERO = r"^0[0-9]+$"


class Kind(StrEnum):
    EMPTY = "empty"
    NUMBER = "number"
    DATE = "date"
    CATEGORY = "category"


@dataclass(frozen=True)
class Guess:
    """The type of a column. `note`: a line for the run's log, if the type may be unexpected."""

    kind: Kind
    form: NumberFormat = NumberFormat.PLAIN
    note: str = ""


def check_names(table: Table, settings: Settings) -> None:
    """Raises INVALID for a column in the settings that the table does not have."""
    columns = table.frame.columns
    fields = {"numeric": settings.numeric, "categorical": settings.categorical, "ignore": settings.ignore}
    for field, names in ({"target": (settings.target,)} | fields).items():
        for name in names:
            if name not in columns:
                near = near_matches(name, columns)
                hint = f"{' or '.join(map(repr, near))}? " if near else ""
                files = ", ".join(file for file, _ in table.files[:3])
                message = f"{files} has no such column"
                raise invalid(("train", field), message, name, f"{hint}one of {', '.join(map(repr, columns))[:1000]}")
    for field in ("numeric", "categorical", "ignore"):
        if settings.target in fields[field]:
            allowed = "columns besides the target; `task: classification` or `task: regression` says how it is read"
            raise invalid(("train", field), "this is the target", settings.target, allowed)
    if both := set(settings.numeric) & set(settings.categorical):
        raise invalid(("train", "numeric"), "a column is either numeric or categorical", min(both))


def guess(table: Table, name: str, *, numeric: bool = False, categorical: bool = False) -> Guess:
    """`numeric` and `categorical`: whether the settings name the column.

    Raises INVALID, with an example, for values that look like numbers in an ambiguous form.
    """
    column = table.frame[name]
    if texts(column).null_count() == len(column):
        return Guess(Kind.EMPTY)
    if categorical:
        return Guess(Kind.CATEGORY)
    if column.dtype.is_numeric():
        return _large_integers(name, column) if not numeric else Guess(Kind.NUMBER)
    present = _trimmed(column).filter(~_trimmed(column).is_in(list(MISSING_NUMBERS)))
    if len(present) == 0:
        return Guess(Kind.NUMBER) if numeric else Guess(Kind.CATEGORY)
    parsed = present.cast(pl.Float64, strict=False)
    if numeric or parsed.is_not_null().sum() >= MOSTLY * len(present):
        if not numeric and (large := _large_integers(name, present)).kind is Kind.CATEGORY:
            return large
        form = NumberFormat.PLAIN if parsed.is_not_null().sum() >= MOSTLY * len(present) else _format(name, present)
        note = _format_note(name, form, present) or ("" if numeric else _zeros_note(name, present))
        return Guess(Kind.NUMBER, form or NumberFormat.PLAIN, note)
    if (form := _format(name, present)) is not None:
        return Guess(Kind.NUMBER, form, _format_note(name, form, present))
    if present.str.contains(ISO_DATE).sum() >= MOSTLY * len(present):
        return Guess(Kind.DATE, note=f"data: column {name!r} holds dates, read as year, month, weekday, day and hour")
    return _category(name, present)


def _large_integers(name: str, column: pl.Series) -> Guess:
    """Whole numbers that FP64 would round are treated as ids: they are kept as text, without a change."""
    large = False
    if column.dtype.is_integer():
        large = bool(((column > LARGEST_EXACT) | (column < -LARGEST_EXACT)).any())
    elif column.dtype == pl.String and bool(column.str.contains(r"^-?[0-9]+$").all()):
        large = any(abs(int(value)) > LARGEST_EXACT for value in column.filter(column.str.len_chars() >= 16).to_list())
    if not large:
        return Guess(Kind.NUMBER)
    note = f"data: column {name!r} has whole numbers beyond 2^53, probably ids: read as categories, with all digits"
    return Guess(Kind.CATEGORY, note=note)


def _format(name: str, present: pl.Series) -> NumberFormat | None:
    """The number format that nearly all values have."""
    if not present.str.contains(r"[,%]").any():
        return None
    fits = [form for form in _FORMATS if _matches(present, form).sum() >= MOSTLY * len(present)]
    if NumberFormat.GROUPED in fits and NumberFormat.COMMA in fits:
        with_comma = present.filter(present.str.contains(",", literal=True))
        if with_comma.str.contains(_GROUPED_FOR_SURE).any():
            return NumberFormat.GROUPED
        raise invalid(
            "data",
            f"column {name!r}: values like {with_comma[0]!r} may be thousands or decimals",
            with_comma[0],
            f"numbers without separators of thousands (or name {name!r} in `categorical` or `ignore`)",
        )
    return fits[0] if fits else None


def _matches(present: pl.Series, form: NumberFormat) -> pl.Series:
    """The values in this format, or in a plain format with the same meaning."""
    plain = r"^[+-]?[0-9]+$" if form in DECIMAL_COMMA else r"^[+-]?[0-9]+\.?[0-9]*$"
    return present.str.contains(PATTERNS[form]) | present.str.contains(plain)


def _format_note(name: str, form: NumberFormat | None, present: pl.Series) -> str:
    if form is None or form is NumberFormat.PLAIN:
        return ""
    written = present.filter(present.str.contains(PATTERNS[form]) & present.str.contains(r"[,.%]"))
    example = str(written[int(written.str.len_chars().arg_max() or 0)])
    value = convert(pl.Series([example]), form)[0]
    return f"data: column {name!r} holds numbers written like {example!r}, read as {value:g}"


def _zeros_note(name: str, present: pl.Series) -> str:
    """Postal codes and the like are read as numbers, which few expect."""
    codes = present.filter(present.str.contains(_LEADING_ZERO))
    if len(codes) == 0:
        return ""
    return (
        f"data: column {name!r} holds numbers with leading zeros, such as {codes[0]!r}, read as {float(codes[0]):g};"
        f" if they are codes, `categorical: [{name}]` under `train` keeps them as they are"
    )


def _category(name: str, present: pl.Series) -> Guess:
    _refuse_other_notations(name, present)
    numbers = present.cast(pl.Float64, strict=False).is_not_null()
    if numbers.sum() >= len(present) / 2:
        other = present.filter(~numbers)[0]
        share = f"{100 * numbers.sum() / len(present):.0f} %"
        return Guess(
            Kind.CATEGORY,
            note=f"data: column {name!r} is read as categories: {share} of its values are numbers, others such as"
            f" {other!r} are not; make these empty to have it read as numbers",
        )
    if _mostly(present, _TIME):
        return Guess(
            Kind.CATEGORY,
            note=f"data: column {name!r} holds times written like {present[0]!r}, which are read as categories;"
            " as hours, 14.5 for 14:30, they would be read as numbers",
        )
    if _mostly(present, _OTHER_DATE):
        return Guess(
            Kind.CATEGORY,
            note=f"data: column {name!r} holds dates written like {present[0]!r}, which are read as categories;"
            f" as {DATE_RULE}, they would be read as dates",
        )
    _refuse_units(name, present)
    return Guess(Kind.CATEGORY)


def _mostly(present: pl.Series, pattern: str) -> bool:
    return bool(present.str.contains(pattern).sum() >= MOSTLY * len(present))


def are_times(values: Sequence[str]) -> bool:
    """Dates of another form than ISO 8601, or times. They differ in each row, and are no ids."""
    present = pl.Series(values, dtype=pl.String)
    return _mostly(present, _OTHER_DATE) or _mostly(present, _TIME)


def _refuse_other_notations(name: str, present: pl.Series) -> None:
    """Refuses numbers of a notation that is not read, or of several: as categories they would be useless."""
    written = present.str.contains(_WRITTEN_NUMBER)
    if written.sum() < MOSTLY * len(present) or present.n_unique() < 3:
        return
    numbers = present.cast(pl.Float64, strict=False).is_not_null()
    example = present.filter(written & ~numbers)[0]
    plain = present.filter(numbers)
    raise invalid(
        "data",
        f"column {name!r} holds numbers written like {example!r}" + (f" and like {plain[0]!r}" if len(plain) else ""),
        example,
        f"one notation in all rows and files: 1234.5, or 1,234.5, or 1.234,5, or 45% "
        f"(or name {name!r} in `categorical` or `ignore`)",
    )


def _refuse_units(name: str, present: pl.Series) -> None:
    """Refuses numbers that all have the same unit: they are quantities, and useless as categories."""
    found = present.str.extract_groups(_UNIT).struct.unnest()
    units = (found.to_series(0) + "|" + found.to_series(1)).drop_nulls()
    if len(units) < len(present) or units.n_unique() != 1 or units[0] == "|" or present.n_unique() < 3:
        return
    raise invalid(
        "data",
        f"column {name!r} holds numbers with a unit, such as {present[0]!r}",
        present[0],
        f"numbers alone (or name {name!r} in `categorical` or `ignore`)",
    )


def _trimmed(column: pl.Series) -> pl.Series:
    if column.dtype.is_nested():
        raise invalid(
            "data",
            f"column {column.name!r} holds lists or structures",
            allowed="single values (or add the column to `ignore`)",
        )
    if column.dtype == pl.String:
        return column.str.strip_chars().fill_null("")
    return pl.Series(column.name, [as_text(value) for value in column.to_list()], pl.String)


def texts(column: pl.Series) -> pl.Series:
    """The column in the canonical form of `as_text`, null where a value is missing."""
    found = _trimmed(column)
    if column.dtype == pl.String:
        found = found.str.replace(WHOLE_WITH_FRACTION, "$1").replace({"-0": "0", **BOOLEANS})
    return found.set(found.is_in(list(MISSING_TEXTS)), None)


def words(table: Table, name: str) -> list[str]:
    """The column as text, with the empty string for missing values."""
    values: list[str] = texts(table.frame[name]).fill_null("").to_list()
    return values


def numbers(table: Table, name: str, form: NumberFormat = NumberFormat.PLAIN) -> Numbers:
    """The column as FP64, with NaN for missing values. Raises INVALID, with file and row, for other values."""
    column = table.frame[name]
    if column.dtype.is_numeric():
        parsed = column.cast(pl.Float64).fill_null(float("nan")).to_numpy().astype(np.float64)
    else:
        text = _trimmed(column)
        text = text.set(text.is_in(list(MISSING_NUMBERS)), None)
        found = convert(text, form)
        wrong = (text.is_not_null() & found.is_null()).arg_true()
        if len(wrong):
            raise _no_number(table, name, int(wrong[0]))
        parsed = found.fill_null(float("nan")).to_numpy().astype(np.float64)
    infinite = np.flatnonzero(np.isinf(parsed))
    if len(infinite):
        raise _no_number(table, name, int(infinite[0]))
    return parsed


def convert(text: pl.Series, form: NumberFormat) -> pl.Series:
    """`values.parse_number` for a whole column: null for values that are not numbers."""
    plain = text.cast(pl.Float64, strict=False)
    if form is NumberFormat.PLAIN:
        return plain
    written = text.str.replace_all(REMOVED[form], "", literal=True).str.strip_chars()
    if form in DECIMAL_COMMA:
        written = written.str.replace(",", ".", literal=True)
    formatted = written.cast(pl.Float64, strict=False)
    return formatted.zip_with(text.str.contains(PATTERNS[form]).fill_null(value=False), plain)


def _no_number(table: Table, name: str, row: int) -> LeptonError:
    return invalid(
        "data",
        f"{table.place(row)}: column {name!r} should be a number",
        str(table.frame[name][row]),
        f"a finite number, or nothing where it is missing (or name {name!r} in `categorical` or `ignore`)",
    )


def dates(table: Table, name: str) -> list[str]:
    """The column as text, with "" for missing values. Raises INVALID, with file and row, for other than ISO dates."""
    found = words(table, name)
    for row, text in enumerate(found):
        if text and parse_date(text) is None:
            message = f"{table.place(row)}: column {name!r} should be a date"
            raise invalid("data", message, text, f"{DATE_RULE} (or name {name!r} in `categorical` or `ignore`)")
    return found


def different(values: Sequence[str]) -> int:
    return len(set(values))
