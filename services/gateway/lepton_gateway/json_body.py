"""Reads JSON bodies of HTTP requests and queue messages."""

from __future__ import annotations

from typing import Any, TypeVar

import orjson
from pydantic import BaseModel

from lepton_core.api.limits import MAX_REQUEST_BYTES
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.http.guard import too_large
from lepton_core.validation import check_depth, parse

Model = TypeVar("Model", bound=BaseModel)


def parse_object(data: bytes | str) -> dict[str, Any]:
    """Raises INVALID for a body that is not UTF-8, not JSON (NaN and Infinity are not), too deep, or not an object."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise LeptonError(ErrorCode.INVALID, f"The body is not valid JSON: {error}") from None
    check_depth(value)
    if not isinstance(value, dict):
        raise LeptonError(ErrorCode.INVALID, f"The body must be a JSON object, not {type(value).__name__}.")
    return value


def parse_request(model: type[Model], data: bytes, *, max_bytes: int = MAX_REQUEST_BYTES) -> Model:
    """The body of a route that may also take large ones. Raises TOO_LARGE, or INVALID as `parse` does."""
    if len(data) > max_bytes:
        raise too_large(max_bytes, len(data))
    return parse(model, data)
