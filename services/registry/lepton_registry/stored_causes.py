"""Causes in columns: JSON text with code, parameters and message; empty for none."""

import json

from lepton_core.errors import Cause
from lepton_core.grpc.errors import cause_message
from lepton_core.validation import canonical_json
from lepton_proto.v1 import errors_pb2


def stored(cause: Cause | None) -> str:
    if cause is None:
        return ""
    return canonical_json({"code": cause.code, "parameters": dict(cause.parameters), "message": cause.message})


def message_of(text: str) -> errors_pb2.Cause | None:
    """The message of a stored cause."""
    return cause_message(Cause(**json.loads(text))) if text else None
