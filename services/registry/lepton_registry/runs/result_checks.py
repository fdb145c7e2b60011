"""Checks what workers send at the end of an attempt: JSON texts, which are made canonical, and causes."""

import re

from lepton_core.api.limits import MAX_METRIC_KEY_CHARS, MAX_METRICS_PER_RECORD
from lepton_core.errors import Cause, invalid
from lepton_core.validation import canonical_json, read_document
from lepton_proto.v1 import errors_pb2

MAX_PARAMETERS_BYTES = 32 * 1024
_CODE = re.compile(r"[a-z][a-z0-9_]{0,63}")


def check_object(text: str, field: str) -> str:
    """Canonical text of a JSON object; `{}` for an empty text."""
    return canonical_json(read_document(text, field)) if text else "{}"


def check_numbers(text: str, field: str) -> str:
    """The same for an object whose values are finite numbers. Every list of runs shows it, so it is bounded."""
    values = read_document(text, field) if text else {}
    if len(values) > MAX_METRICS_PER_RECORD:
        raise invalid(field, "too many metrics", len(values), f"at most {MAX_METRICS_PER_RECORD}")
    for name, value in values.items():
        if len(name) > MAX_METRIC_KEY_CHARS:
            raise invalid(field, "a name is too long", name, f"at most {MAX_METRIC_KEY_CHARS} characters")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise invalid(f"{field}.{name}", "not a finite number", value, "a finite number")
    return canonical_json(values)


def check_cause(message: errors_pb2.Cause, field: str) -> Cause:
    """The cause, with a code that this version need not know: workers may be newer."""
    if not _CODE.fullmatch(message.code):
        allowed = "1 to 64 lower-case letters, digits and underscores, a letter first"
        raise invalid(f"{field}.code", "not a code", message.code, allowed)
    text = message.parameters_json
    parameters = read_document(text, f"{field}.parameters_json", max_bytes=MAX_PARAMETERS_BYTES) if text else {}
    return Cause(message.code, parameters, printable(message.message))


def printable(text: str) -> str:
    """Text that may quote what a program printed. PostgreSQL stores no NUL."""
    return text.replace("\0", "\ufffd")
