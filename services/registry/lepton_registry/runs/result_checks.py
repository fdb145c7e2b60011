"""JSON texts that workers send: an object, of bounded size, canonical again. Pure."""

import json
import math
from typing import Any, NoReturn

from lepton_core.errors import invalid
from lepton_core.validation import canonical_json

MAX_JSON_BYTES = 4 * 1024 * 1024


def check_object(text: str, field: str) -> str:
    """Canonical text of a JSON object; empty is `{}`."""
    return canonical_json(_parse(text, field)) if text else "{}"


def check_numbers(text: str, field: str) -> str:
    """The same for an object whose values are finite numbers."""
    values = _parse(text, field) if text else {}
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise invalid(f"{field}.{name}", "not a finite number", value, "a finite number")
    return canonical_json(values)


def _parse(text: str, field: str) -> dict[str, Any]:
    if len(text) > MAX_JSON_BYTES:
        raise invalid(field, "too large", len(text), f"at most {MAX_JSON_BYTES} characters")
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise invalid(field, "not JSON text", text, "a JSON object without NaN and infinities") from None
    if not isinstance(value, dict):
        raise invalid(field, "not a JSON object", text, "a JSON object")
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)
