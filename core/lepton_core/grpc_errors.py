"""LeptonError over gRPC: a status that any client understands, and the exact error in the trailing metadata."""

from typing import Any

import grpc
from google.protobuf.message import DecodeError

from lepton_core.errors import ErrorCode, FieldError, LeptonError, code_for_grpc
from lepton_proto.v1 import errors_pb2

ERROR_KEY = "lepton-error-bin"
RETRY_AFTER_KEY = "retry-after-ms"
# gRPC refuses headers above 8 KiB unless both ends were told otherwise, and foreign clients were not.
MAX_ERROR_BYTES = 4096
MAX_STATUS_CHARS = 512


def status_of(error: LeptonError) -> grpc.StatusCode:
    return grpc.StatusCode[error.row.grpc_status]


def error_metadata(error: LeptonError, request_id: str) -> tuple[tuple[str, str | bytes], ...]:
    """Trailing metadata that carry the error; fields that would not fit are left out."""
    message = errors_pb2.Error(code=error.code.value, detail=error.detail[:2000], request_id=request_id)
    size = message.ByteSize()
    for each in error.fields:
        field = errors_pb2.FieldError(
            field=each.field[:200], message=each.message[:500], value=each.value, allowed=each.allowed[:1000]
        )
        size += field.ByteSize() + 4
        if size > MAX_ERROR_BYTES:
            break
        message.fields.append(field)
    found: tuple[tuple[str, str | bytes], ...] = ((ERROR_KEY, message.SerializeToString()),)
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
        message = errors_pb2.Error.FromString(sent)
        code = ErrorCode(message.code)
    except (DecodeError, ValueError):
        # A newer server's code: its status still says what kind of fault it is.
        return LeptonError(code_for_grpc(status.name), detail, retry_after_seconds=retry_after)
    fields = [FieldError(each.field, each.message, each.value, each.allowed) for each in message.fields]
    return LeptonError(code, message.detail, fields, request_id=message.request_id, retry_after_seconds=retry_after)


def _bare_code(status: grpc.StatusCode, detail: str) -> ErrorCode:
    # gRPC has one status for "slow down" and for "message too long"; only its words tell them apart.
    if status is grpc.StatusCode.RESOURCE_EXHAUSTED and "larger than max" in detail:
        return ErrorCode.TOO_LARGE
    return code_for_grpc(status.name)
