"""LeptonError over HTTP: RFC 9457 problem details, made and read. Pure, so that the SDK can use it."""

import json
from typing import Any

from lepton_core.errors import Cause, ErrorCode, FieldError, LeptonError, code_for_http

PROBLEM_MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:lepton:error:"


def problem_of(error: LeptonError, request_id: str, *, status: int | None = None) -> dict[str, Any]:
    """`status` overrides the table's, for faults that only HTTP has (405)."""
    problem: dict[str, Any] = {
        "type": f"{TYPE_PREFIX}{error.code.value}",
        "title": error.row.title,
        "status": status or error.row.http_status,
        "detail": error.message,
        "code": error.code.value,
        "errors": [
            {
                "field": each.field,
                "message": each.message,
                "value": each.value,
                "allowed": each.allowed,
                "field_path": list(each.field_path),
            }
            for each in error.fields
        ],
        "request_id": request_id,
    }
    if (cause := error.cause) is not None:
        problem["cause"] = {"code": cause.code, "parameters": dict(cause.parameters), "message": cause.message}
    return problem


def error_from_problem(status: int, body: bytes, retry_after: str = "") -> LeptonError:
    """The LeptonError of an answer: exactly what our server raised, or the nearest code for another server's status.

    `retry_after` is the header of that name; only its form in seconds is read.
    """
    seconds = float(retry_after) if retry_after.replace(".", "", 1).isdigit() else None
    try:
        problem = json.loads(body)
        code = ErrorCode(problem["code"])
        fields = [
            FieldError(
                str(each["field"]),
                str(each["message"]),
                str(each["value"]),
                str(each["allowed"]),
                # Servers of the first release do not send it.
                tuple(map(str, each.get("field_path", ()))),
            )
            for each in problem["errors"]
        ]
        detail, request_id = str(problem["detail"]), str(problem["request_id"])
        given = problem.get("cause")
        cause = Cause(str(given["code"]), dict(given["parameters"]), str(given["message"])) if given else None
    except (ValueError, KeyError, TypeError, RecursionError):
        text = body[:200].decode("utf-8", "replace").strip()
        detail = f"the server answered {status}" + (f": {text}" if text else "")
        return LeptonError(code_for_http(status), detail, retry_after_seconds=seconds)
    return LeptonError(code, detail, fields, request_id=request_id, retry_after_seconds=seconds, cause=cause)
