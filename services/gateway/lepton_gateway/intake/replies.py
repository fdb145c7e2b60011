"""Answers to producers: a reply event on the producer's own stream, and dead letters with the reason.

*Accepted* means that the reply event exists. A producer that got none sends its message again.
"""

from __future__ import annotations

import json
import time
from typing import Any

from lepton_core.errors import LeptonError
from lepton_gateway.intake.messages import Origin
from lepton_gateway.submit import Submission

# The maximum number of entries of a reply stream, approximately. The oldest entries are deleted.
REPLIES_KEPT = 100_000
DEAD_LETTERS_KEPT = 10_000
MAX_LETTER_BYTES = 64 * 1024


Fields = dict[Any, Any]  # redis-py's own type of a stream entry is a union of every encodable type


def accepted(origin: Origin, submission: Submission) -> Fields:
    return {
        **_names(origin),
        "status": "accepted",
        "run_id": submission.run.id,
        "created": "true" if submission.created else "false",
    }


def refused(origin: Origin, error: LeptonError) -> Fields:
    return {**_names(origin), "status": "refused", "error": _problem(error)}


def dead_letter(origin: Origin, body: bytes, error: LeptonError, source: str) -> Fields:
    return {
        "source": source,
        **_names(origin),
        "body": body[:MAX_LETTER_BYTES],
        "error": _problem(error),
        "at_us": str(time.time_ns() // 1000),
    }


def _names(origin: Origin) -> Fields:
    """`message_id` always, since it is what producers look for."""
    task = {"task_id": origin.task_id} if origin.task_id else {}
    return {"message_id": origin.message_id, "entry_id": origin.entry_id, **task}


def _problem(error: LeptonError) -> str:
    fields = [
        {
            "field": each.field,
            "message": each.message,
            "value": each.value,
            "allowed": each.allowed,
            "field_path": each.field_path,
        }
        for each in error.fields
    ]
    return json.dumps({"code": error.code.value, "detail": error.detail, "errors": fields})
