"""The error table: code, gRPC status, HTTP status, public text.

Both transports use it in both directions, so that a fault has the same code over HTTP and gRPC. gRPC statuses are
given by name, since this module imports no transport.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lepton_core.plain_text import plain, plain_json

SHOWN_VALUE_CHARS = 200
MAX_PART_CHARS = 256
# Of an error as text; `fields` has them all.
SHOWN_FIELDS = 10
SHOWN_VALUES = 5

# A field's place in a JSON body: names of members and indices of lists.
Location = tuple[str | int, ...]
_ENCODER = json.JSONEncoder(ensure_ascii=False)


class ErrorCode(StrEnum):
    INVALID = "invalid"
    NOT_FOUND = "not_found"
    ALREADY_EXISTS = "already_exists"
    CONFLICT = "conflict"
    STALE_ATTEMPT = "stale_attempt"
    FAILED_PRECONDITION = "failed_precondition"
    UNAUTHENTICATED = "unauthenticated"
    PERMISSION_DENIED = "permission_denied"
    TOO_LARGE = "too_large"
    UNSUPPORTED_MEDIA = "unsupported_media"
    RATE_LIMITED = "rate_limited"
    OVER_QUOTA = "over_quota"
    UNAVAILABLE = "unavailable"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    CORRUPT = "corrupt"
    UNIMPLEMENTED = "unimplemented"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class ErrorRow:
    code: ErrorCode
    grpc_status: str
    http_status: int
    title: str
    retryable: bool = False


# Where several codes share a status, a bare status (from a proxy or another server) is read as the first of them.
_ROWS = (
    ErrorRow(ErrorCode.INVALID, "INVALID_ARGUMENT", 422, "The request is not valid"),
    ErrorRow(ErrorCode.NOT_FOUND, "NOT_FOUND", 404, "Not found"),
    ErrorRow(ErrorCode.CONFLICT, "ABORTED", 409, "In conflict with the present state"),
    ErrorRow(ErrorCode.ALREADY_EXISTS, "ALREADY_EXISTS", 409, "Already exists"),
    ErrorRow(ErrorCode.FAILED_PRECONDITION, "FAILED_PRECONDITION", 409, "Not possible in the present state"),
    ErrorRow(ErrorCode.STALE_ATTEMPT, "FAILED_PRECONDITION", 409, "The attempt is no longer the current one"),
    ErrorRow(ErrorCode.UNAUTHENTICATED, "UNAUTHENTICATED", 401, "No valid credentials"),
    ErrorRow(ErrorCode.PERMISSION_DENIED, "PERMISSION_DENIED", 403, "Not permitted"),
    ErrorRow(ErrorCode.TOO_LARGE, "OUT_OF_RANGE", 413, "Too large"),
    ErrorRow(ErrorCode.UNSUPPORTED_MEDIA, "INVALID_ARGUMENT", 415, "Not a supported format"),
    ErrorRow(ErrorCode.RATE_LIMITED, "RESOURCE_EXHAUSTED", 429, "Too many requests", retryable=True),
    ErrorRow(ErrorCode.OVER_QUOTA, "RESOURCE_EXHAUSTED", 429, "Over quota", retryable=True),
    ErrorRow(ErrorCode.UNAVAILABLE, "UNAVAILABLE", 503, "Not available now", retryable=True),
    ErrorRow(ErrorCode.TIMEOUT, "DEADLINE_EXCEEDED", 504, "Took too long", retryable=True),
    ErrorRow(ErrorCode.CANCELLED, "CANCELLED", 499, "Cancelled"),
    ErrorRow(ErrorCode.UNIMPLEMENTED, "UNIMPLEMENTED", 501, "Not supported"),
    ErrorRow(ErrorCode.INTERNAL, "INTERNAL", 500, "Internal error"),
    ErrorRow(ErrorCode.CORRUPT, "DATA_LOSS", 500, "Stored bytes are not what was stored"),
)
ERROR_TABLE: dict[ErrorCode, ErrorRow] = {row.code: row for row in _ROWS}

_BY_GRPC_STATUS = {row.grpc_status: row.code for row in reversed(_ROWS)} | {"UNKNOWN": ErrorCode.INTERNAL}
_BY_HTTP_STATUS = {row.http_status: row.code for row in reversed(_ROWS)} | {
    400: ErrorCode.INVALID,
    405: ErrorCode.UNIMPLEMENTED,
    408: ErrorCode.TIMEOUT,
    502: ErrorCode.UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class FieldError:
    """A wrong field: its path as the caller wrote it, why, the refused value as JSON text, and what is allowed.

    `field_path` has the path in parts, for programs: `("instances", "3", "age")`. Unless it is given, it has one
    part, the field's name.
    """

    field: str
    message: str
    value: str = ""
    allowed: str = ""
    field_path: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.field_path and self.field:
            object.__setattr__(self, "field_path", (self.field[:MAX_PART_CHARS],))


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause of a state or error: code and parameters (JSON values) are for programs, the message is for people."""

    code: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    message: str = ""


class LeptonError(Exception):
    """The one exception that crosses a transport; `detail`, `fields` and `cause` are shown to the caller."""

    def __init__(
        self,
        code: ErrorCode,
        detail: str,
        fields: Sequence[FieldError] = (),
        *,
        request_id: str = "",
        retry_after_seconds: float | None = None,
        cause: Cause | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.fields = tuple(fields)
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds
        self.cause = cause

    @property
    def row(self) -> ErrorRow:
        return ERROR_TABLE[self.code]

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later without a change."""
        return self.row.retryable

    @property
    def message(self) -> str:
        """The detail, with the allowed values of the first wrong field; for clients that show only this text."""
        allowed = self.fields[0].allowed if self.fields else ""
        return f"{self.detail}; allowed: {allowed}" if allowed not in self.detail else self.detail

    def __str__(self) -> str:
        """The detail, with what is allowed. Of several wrong fields, the first ones, each on a line of its own.

        Safe to print: it quotes names and values from elsewhere, so it is made plain.
        """
        return plain(self._text())

    def _text(self) -> str:
        if len(self.fields) < 2:
            return self.message
        first = self.fields[0]
        # The detail repeats the first field, which is also in the list below.
        repeats = self.detail.startswith(f"{first.field}: {first.message}")
        lines = [_line(alike) for alike in _alike(self.fields)]
        more = [f"  and {len(lines) - SHOWN_FIELDS} more"] if len(lines) > SHOWN_FIELDS else []
        head = f"{len(self.fields)} fields are wrong" if repeats else self.detail
        return "\n".join([head, *lines[:SHOWN_FIELDS], *more])

    def __reduce__(self) -> tuple[object, ...]:
        # Needed by process pools: exceptions are pickled by their args, which hold only the detail.
        return _rebuilt, (self.code, self.detail, self.fields, self.request_id, self.retry_after_seconds, self.cause)


def _alike(fields: Sequence[FieldError]) -> list[list[FieldError]]:
    """Groups, in order, the errors that differ only in the refused value, such as many files of a wrong kind."""
    groups: dict[tuple[str, str, str], list[FieldError]] = {}
    for each in fields:
        groups.setdefault((each.field, each.message, each.allowed), []).append(each)
    return list(groups.values())


def _line(alike: Sequence[FieldError]) -> str:
    values = [each.value for each in alike if each.value]
    more = ", …" if len(values) > SHOWN_VALUES else ""
    got = f" (got {', '.join(values[:SHOWN_VALUES])}{more})" if values else ""
    allowed = f"; allowed: {alike[0].allowed}" if alike[0].allowed else ""
    return f"  {alike[0].field}: {alike[0].message}{got}{allowed}"


def _rebuilt(
    code: ErrorCode,
    detail: str,
    fields: Sequence[FieldError],
    request_id: str,
    retry_after_seconds: float | None,
    cause: Cause | None,
) -> LeptonError:
    return LeptonError(
        code, detail, fields, request_id=request_id, retry_after_seconds=retry_after_seconds, cause=cause
    )


def invalid(field: str | Location, message: str, value: object = None, allowed: str = "") -> LeptonError:
    """The common case: one field is wrong. `field`: its name, or its place in a JSON body."""
    return invalid_field(field_error(field, message, shown(value), allowed))


def invalid_field(wrong: FieldError, others: Sequence[FieldError] = ()) -> LeptonError:
    """INVALID that describes the first of the wrong fields."""
    got = f" (got {wrong.value})" if wrong.value else ""
    return LeptonError(ErrorCode.INVALID, f"{wrong.field}: {wrong.message}{got}", [wrong, *others])


def field_error(field: str | Location, message: str, value: str = "", allowed: str = "") -> FieldError:
    if isinstance(field, str):
        return FieldError(field, message, value, allowed)
    return FieldError(path_of(field), message, value, allowed, tuple(str(part)[:MAX_PART_CHARS] for part in field))


def path_of(location: Location) -> str:
    """`("train", "layers", 0)` as people write it: `train.layers[0]`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)[:128]
    return path


def shown(value: object) -> str:
    """A refused value as JSON text, cut to what a person can read; empty for None."""
    if value is None:
        return ""
    try:
        text = plain_json(_first_chars(value))
    except (TypeError, ValueError, RecursionError):
        text = f"<{type(value).__name__}>"
    return text if len(text) <= SHOWN_VALUE_CHARS else text[: SHOWN_VALUE_CHARS - 1] + "…"


def _first_chars(value: object) -> str:
    """The first SHOWN_VALUE_CHARS + 1 characters of the JSON text: a refused value may have millions of entries."""
    text = ""
    # Encodes piece by piece, unlike `dumps`.
    for piece in _ENCODER.iterencode(value[:SHOWN_VALUE_CHARS] if isinstance(value, str) else value):
        text += piece
        if len(text) > SHOWN_VALUE_CHARS:
            return text[: SHOWN_VALUE_CHARS + 1]
    return text


def code_for_grpc(status: str) -> ErrorCode:
    """The code for a bare gRPC status name, as another server or a proxy sends it."""
    return _BY_GRPC_STATUS.get(status, ErrorCode.INTERNAL)


def code_for_http(status: int) -> ErrorCode:
    """The code for a bare HTTP status."""
    return _BY_HTTP_STATUS.get(status) or (ErrorCode.INVALID if 400 <= status < 500 else ErrorCode.INTERNAL)
