"""One message of a producer, from either kind of queue: read, then submitted as the binding's principal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from lepton_core.api.limits import MAX_IDEMPOTENCY_KEY_CHARS
from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.identity import Principal, PrincipalKind, Role, reset_principal, set_principal
from lepton_gateway.json_body import parse_object
from lepton_gateway.projects import ProjectNames
from lepton_gateway.settings import Binding
from lepton_gateway.submit import CLIENT_NAMESPACE, Submission, Submitter

FIELDS = {"message_id", "idempotency_key", "job"}
MAX_MESSAGE_BYTES = 1024 * 1024
# Temporary faults: the message stays in the queue and never becomes a dead letter.
RETRIED = (ErrorCode.UNAVAILABLE, ErrorCode.TIMEOUT, ErrorCode.RATE_LIMITED, ErrorCode.OVER_QUOTA, ErrorCode.INTERNAL)


@dataclass(frozen=True, slots=True)
class Message:
    """`expired`: the error for a message whose expiry time has passed, used unless it was accepted before."""

    message_id: str
    idempotency_key: str
    job: Mapping[str, Any]
    expired: LeptonError | None = None

    @property
    def key(self) -> tuple[str, bool]:
        """The key, and whether the producer chose it itself; such a key is shared with HTTP and gRPC."""
        return (self.idempotency_key, True) if self.idempotency_key else (self.message_id, False)


@dataclass(frozen=True, slots=True)
class Origin:
    """The ids by which a producer finds its message; empty if unreadable. `entry_id` is the id of the stream entry."""

    entry_id: str
    message_id: str = ""
    task_id: str = ""


def parse_message(data: bytes | str | Mapping[str, Any]) -> Message:
    """`{"message_id": "…", "job": {…}}`, optionally with an `idempotency_key` of the client's own. Raises INVALID."""
    if isinstance(data, bytes | str) and len(data) > MAX_MESSAGE_BYTES:
        raise LeptonError(ErrorCode.TOO_LARGE, f"The message is larger than {MAX_MESSAGE_BYTES} bytes.")
    body = data if isinstance(data, Mapping) else parse_object(data)
    for name in body:
        if name not in FIELDS:
            raise invalid(str(name), "unknown field", None, ", ".join(sorted(FIELDS)))
    for name in ("message_id", "idempotency_key"):
        if not isinstance(body.get(name, ""), str):
            raise invalid(name, "not a text", body[name], "a string")
    if not body.get("message_id"):
        raise invalid(
            "message_id", "missing", None, "an id made by the producer, the same when it sends the message again"
        )
    if not isinstance(body.get("job"), Mapping):
        raise invalid("job", "missing", body.get("job"), "a job, as in a job file")
    return Message(body["message_id"], body.get("idempotency_key", ""), body["job"])


def peek_message_id(data: object) -> str:
    """The message id, if one can be read; for replies to messages that are refused."""
    try:
        # Not strict: the message may be refused for its form.
        body = data if isinstance(data, Mapping) else orjson.loads(data)  # type: ignore[arg-type]  # TypeError is handled
    except (orjson.JSONDecodeError, TypeError):
        return ""
    if not isinstance(body, Mapping):
        return ""
    found = body.get("message_id", "")
    return found[:MAX_IDEMPOTENCY_KEY_CHARS] if isinstance(found, str) else ""


class MessageSubmitter:
    """Submits messages for one binding: a message cannot choose its principal or project."""

    def __init__(self, submitter: Submitter, projects: ProjectNames, binding: Binding) -> None:
        self._submitter = submitter
        self._projects = projects
        self._binding = binding

    async def submit(self, message: Message) -> Submission:
        principal = Principal(
            PrincipalKind.SERVICE,
            self._binding.principal,
            project=await self._projects.id_of(self._binding.project),
            role=Role.EDITOR,
            service="gateway",
        )
        key, shared = message.key
        namespace = CLIENT_NAMESPACE if shared else f"intake:{self._binding.principal}"
        reset = set_principal(principal)
        try:
            return await self._submitter.submit(message.job, key, namespace=namespace, expired=message.expired)
        finally:
            reset_principal(reset)
