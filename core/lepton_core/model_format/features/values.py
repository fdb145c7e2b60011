"""The one form of each value of a table: in training, in files and in every door of serving.

Text and numbers are spelled in many ways (`True`, `true`; `1.0`, `1`; `n/a`; `45%`). What is trained on one spelling
must be found by every other, so all of them pass through here.
"""

import math
import re
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

# Missing wherever they stand.
MISSING_TEXTS = frozenset(
    {"", "?", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "NAN", "-nan", "-NaN", "null", "NULL", "Null"}
)
# Missing in a column whose other values are numbers. In a column of text they may be values of their own.
MISSING_NUMBERS = MISSING_TEXTS | {
    "None",
    "none",
    "NONE",
    "-",
    "--",
    ".",
    "n.a.",
    "N.A.",
    "#DIV/0!",
    "#VALUE!",
    "#REF!",
}
BOOLEANS = {"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"}
# A whole number with a fraction of zeros. `007` has a leading zero and is a code; `1.10` may be a version.
WHOLE_WITH_FRACTION = r"^(-?(?:0|[1-9][0-9]*))\.0+$"

_WHOLE_WITH_FRACTION = re.compile(WHOLE_WITH_FRACTION)
_PLAIN = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def as_text(value: object) -> str:
    """The canonical text of one value, however it came (str, bytes, number, bool, None); "" when it is missing."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    text = str(value).strip()
    if text in MISSING_TEXTS:
        return ""
    if whole := _WHOLE_WITH_FRACTION.match(text):
        text = whole[1]
    return "0" if text == "-0" else BOOLEANS.get(text, text)


def _float_text(value: float) -> str:
    """Without an exponent and without needless zeros: JSON and Parquet may give 3.0 for what a CSV file calls 3."""
    if math.isnan(value):
        return ""
    if math.isinf(value):
        return str(value)
    return str(int(value)) if value.is_integer() else format(Decimal(repr(value)), "f")


class NumberFormat(StrEnum):
    """How the numbers of a column are written as text. A number of JSON is always taken as it is."""

    PLAIN = "plain"  # 1234.5, 1e3
    GROUPED = "grouped"  # 1,234.5
    COMMA = "comma"  # 1.234,5 and 1234,5
    PERCENT = "percent"  # 45% is 45
    COMMA_PERCENT = "comma_percent"  # 45,5% is 45.5


# What a value must look like, as a whole, to be read in a format. Plain numbers are read in each of them too, where
# they do not have another meaning there.
PATTERNS: dict[NumberFormat, str] = {
    NumberFormat.GROUPED: r"^[+-]?[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]*)?$",
    NumberFormat.COMMA: r"^[+-]?(?:[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]+)(?:,[0-9]+)?$",
    NumberFormat.PERCENT: r"^[+-]?[0-9]*\.?[0-9]+ ?%$",
    NumberFormat.COMMA_PERCENT: r"^[+-]?[0-9]+(?:,[0-9]+)? ?%$",
}
# What is taken away, and by what a comma is replaced, before the rest is read as a plain number.
REMOVED: dict[NumberFormat, str] = {
    NumberFormat.GROUPED: ",",
    NumberFormat.COMMA: ".",
    NumberFormat.PERCENT: "%",
    NumberFormat.COMMA_PERCENT: "%",
}
DECIMAL_COMMA = frozenset({NumberFormat.COMMA, NumberFormat.COMMA_PERCENT})
_COMPILED = {form: re.compile(pattern) for form, pattern in PATTERNS.items()}


def parse_number(value: object, form: NumberFormat = NumberFormat.PLAIN) -> float | None:
    """The number; NaN for a missing value, None for a value that is not a number. Infinity is returned as such."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if value is None:
        return math.nan
    text = (value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)).strip()
    if text in MISSING_NUMBERS:
        return math.nan
    if form is not NumberFormat.PLAIN and _COMPILED[form].match(text):
        text = text.replace(REMOVED[form], "").strip()
        text = text.replace(",", ".") if form in DECIMAL_COMMA else text
    if _PLAIN.fullmatch(text):
        return float(text)
    return math.inf if text.lstrip("+").lower() in ("inf", "infinity") else _negative_infinity(text)


def _negative_infinity(text: str) -> float | None:
    return -math.inf if text.lower() in ("-inf", "-infinity") else None


class DatePart(StrEnum):
    YEAR = "year"
    MONTH = "month"
    WEEKDAY = "weekday"  # Monday is 0
    DAY = "day"
    HOUR = "hour"  # with minutes and seconds as its fraction


# ISO 8601, with "T" or a space before the time. Fractions of a second and a zone may follow, and are not used.
ISO_DATE = (
    r"^([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,][0-9]{1,9})?)?(?: ?(?:Z|[+-][0-9]{2}:?[0-9]{2}))?)?$"
)
DATE_RULE = "a date such as 2024-05-31 or 2024-05-31T14:30"
_ISO_DATE = re.compile(ISO_DATE)


def parse_date(text: str) -> datetime | None:
    """The time as it is written, whatever its zone; None if it is not an ISO date."""
    found = _ISO_DATE.match(text)
    if found is None:
        return None
    try:
        return datetime(*(int(group or 0) for group in found.groups()))  # type: ignore[arg-type]  # noqa: DTZ001 - as written
    except ValueError:
        return None


def date_part(moment: datetime, part: DatePart) -> float:
    match part:
        case DatePart.YEAR:
            return float(moment.year)
        case DatePart.MONTH:
            return float(moment.month)
        case DatePart.WEEKDAY:
            return float(moment.weekday())
        case DatePart.DAY:
            return float(moment.day)
        case DatePart.HOUR:
            return moment.hour + moment.minute / 60 + moment.second / 3600
