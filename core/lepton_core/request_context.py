"""The id of the current request: the caller's if it is harmless, else one that is made when first needed."""

import re
import secrets
from contextvars import ContextVar

REQUEST_ID_HEADER = "x-request-id"

_SAFE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_request_id: ContextVar[str] = ContextVar("lepton_request_id", default="")


def begin_request(presented: str = "") -> None:
    """Starts a request. The caller's id goes into logs and headers, so only plain characters are accepted."""
    _request_id.set(presented if presented and _SAFE.fullmatch(presented) else "")


def current_request_id() -> str:
    request_id = _request_id.get()
    if not request_id:
        request_id = secrets.token_hex(8)
        _request_id.set(request_id)
    return request_id


def request_id_or_none() -> str | None:
    return _request_id.get() or None
