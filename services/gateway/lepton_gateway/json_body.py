"""Reads JSON bodies of HTTP requests and queue messages."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

from lepton_core.api.limits import MAX_REQUEST_BYTES
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.http.guard import too_large
from lepton_core.validation import parse, read_json

Model = TypeVar("Model", bound=BaseModel)


def parse_object(data: bytes | str) -> dict[str, Any]:
    """Raises INVALID for a body that is not UTF-8, not an object, or not JSON as `read_json` takes it.

    Of a key that occurs twice, one value would be lost without a word.
    """
    try:
        text = data if isinstance(data, str) else str(data, "utf-8")
    except (UnicodeDecodeError, TypeError):
        # A queue message may lack the field, or hold another type.
        raise LeptonError(ErrorCode.INVALID, "the body is not JSON: not UTF-8 text") from None
    value = read_json(text)
    if not isinstance(value, dict):
        raise LeptonError(ErrorCode.INVALID, "the body must be a JSON object")
    return value


def parse_request(model: type[Model], data: bytes, *, max_bytes: int = MAX_REQUEST_BYTES) -> Model:
    """The body of a route that may also take large ones. Raises TOO_LARGE, or INVALID as `parse` does."""
    if len(data) > max_bytes:
        raise too_large(max_bytes, len(data))
    return parse(model, data)
