"""Reads JSON bodies of HTTP requests and queue messages."""

from __future__ import annotations

from typing import Any

import orjson

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.validation import check_depth


def parse_object(data: bytes | str) -> dict[str, Any]:
    """Raises INVALID for what is not UTF-8, not JSON (NaN and Infinity are not), nested too deeply, or no object."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise LeptonError(ErrorCode.INVALID, f"The body is not valid JSON: {error}") from None
    check_depth(value)
    if not isinstance(value, dict):
        raise LeptonError(ErrorCode.INVALID, f"The body must be a JSON object, not {type(value).__name__}.")
    return value
