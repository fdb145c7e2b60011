"""From an error to the cause of an attempt's end."""

from typing import Any

from lepton_core.causes import EndCause
from lepton_core.errors import Cause, LeptonError

MAX_FIELDS = 10
MAX_FIELD_CHARS = 300
_CODES = frozenset(EndCause)


def end_cause(error: LeptonError, otherwise: EndCause, **parameters: Any) -> Cause:
    """The cause that the error carries, if an attempt can end by it; else one of the code `otherwise`, with the error's
    code and wrong fields. Its message is the error's text. `parameters` are added to both."""
    text = str(error)
    if error.cause is not None and error.cause.code in _CODES:
        return Cause(error.cause.code, {**error.cause.parameters, **parameters}, text)
    found: dict[str, Any] = {"error": error.code.value, **parameters}
    if error.fields:
        found["fields"] = [
            {"field": each.field[:MAX_FIELD_CHARS], "message": each.message[:MAX_FIELD_CHARS]}
            for each in error.fields[:MAX_FIELDS]
        ]
    return Cause(otherwise, found, text)
