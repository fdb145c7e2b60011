"""LeptonError over gRPC: a status that any client understands, and the exact error in the trailing metadata."""

import json
import logging
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from lepton_core.errors import Cause, ErrorCode, FieldError, LeptonError, code_for_grpc
from lepton_core.request_context import current_request_id
from lepton_core.validation import canonical_json
from lepton_proto.v1 import errors_pb2

log = logging.getLogger("lepton.grpc")

ERROR_KEY = "lepton-error-bin"
RETRY_AFTER_KEY = "retry-after-ms"
# gRPC refuses headers above 8 KiB unless both ends are set otherwise, and foreign clients are not.
MAX_ERROR_BYTES = 4096
MAX_STATUS_CHARS = 512
MAX_CAUSE_BYTES = 1024


def status_of(error: LeptonError) -> grpc.StatusCode:
    return grpc.StatusCode[error.row.grpc_status]


def public_error(error: Exception, method: str) -> LeptonError:
    """The error for the caller of `method`. An unexpected fault shows only the request's id; the log has the rest."""
    if isinstance(error, LeptonError):
        return error
    log.error("%s failed (request %s)", method, current_request_id(), exc_info=error)
    # The fault's text may hold paths, SQL or data of others.
    return LeptonError(ErrorCode.INTERNAL, f"internal error; request {current_request_id()}")


def error_message(error: LeptonError, request_id: str = "") -> errors_pb2.Error:
    """The error as a message; fields that would not fit into a header are left out."""
    message = errors_pb2.Error(code=error.code.value, detail=error.message[:2000], request_id=request_id)
    # A cause is normally small. One that is too large, through a caller's values, is left out as a whole, not cut.
    if error.cause is not None and (cause := cause_message(error.cause)).ByteSize() <= MAX_CAUSE_BYTES:
        message.cause.CopyFrom(cause)
    size = message.ByteSize()
    for each in error.fields:
        field = errors_pb2.FieldError(
            field=each.field[:200],
            message=each.message[:500],
            value=each.value,
            allowed=each.allowed[:1000],
            field_path=each.field_path,
        )
        size += field.ByteSize() + 4
        if size > MAX_ERROR_BYTES:
            break
        message.fields.append(field)
    return message


def cause_message(cause: Cause) -> errors_pb2.Cause:
    parameters = canonical_json(dict(cause.parameters)) if cause.parameters else ""
    return errors_pb2.Cause(code=cause.code, parameters_json=parameters, message=cause.message)


def cause_of(message: errors_pb2.Cause) -> Cause:
    """Raises ValueError for parameters that are no JSON object."""
    parameters = json.loads(message.parameters_json or "{}")
    if not isinstance(parameters, dict):
        # ValueError, as for a code of a newer server: the caller then reads the status instead.
        raise ValueError(f"parameters_json is not a JSON object: {message.parameters_json[:200]}")  # noqa: TRY004 - a wrong value from the wire
    return Cause(message.code, parameters, message.message)


def error_of(message: errors_pb2.Error) -> LeptonError:
    """The LeptonError that a message describes. Raises ValueError for a code that this version does not know."""
    fields = [
        FieldError(each.field, each.message, each.value, each.allowed, tuple(each.field_path))
        for each in message.fields
    ]
    cause = cause_of(message.cause) if message.HasField("cause") else None
    return LeptonError(ErrorCode(message.code), message.detail, fields, request_id=message.request_id, cause=cause)


def error_metadata(error: LeptonError, request_id: str) -> tuple[tuple[str, str | bytes], ...]:
    """Trailing metadata that carry the error."""
    found: tuple[tuple[str, str | bytes], ...] = ((ERROR_KEY, error_message(error, request_id).SerializeToString()),)
    if error.retry_after_seconds is not None:
        found = (*found, (RETRY_AFTER_KEY, str(int(error.retry_after_seconds * 1000))))
    return found


def error_from_call(error: Any) -> LeptonError:
    """The LeptonError behind a failed call: exactly what the server raised, or the nearest to a bare status."""
    status: grpc.StatusCode = error.code() or grpc.StatusCode.UNKNOWN
    detail = error.details() or status.name.lower().replace("_", " ")
    retry_after: float | None = None
    sent: bytes | None = None
    for key, value in error.trailing_metadata() or ():
        if key == ERROR_KEY:
            sent = value
        elif key == RETRY_AFTER_KEY and str(value).isdigit():
            retry_after = int(value) / 1000
    if sent is None:
        return LeptonError(_bare_code(status, detail), detail, retry_after_seconds=retry_after)
    try:
        found = error_of(errors_pb2.Error.FromString(sent))
    except (DecodeError, ValueError):
        # A code of a newer server: the status still gives the kind of fault.
        return LeptonError(code_for_grpc(status.name), detail, retry_after_seconds=retry_after)
    found.retry_after_seconds = retry_after
    return found


def _bare_code(status: grpc.StatusCode, detail: str) -> ErrorCode:
    # gRPC has one status for "slow down" and for "message too long"; only the text differs.
    if status is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in detail:
        return ErrorCode.TOO_LARGE
    return code_for_grpc(status.name)
