"""Celery intake: any Celery client calls the task `lepton.submit` by name on a bound queue.

Celery's queue is a list of JSON envelopes. Each one is moved atomically into a stream of the gateway and then handled
as in stream intake: commit → reply event → acknowledge. No Celery worker is used, because it acknowledges by other
rules, and because its messaging library decompresses a message before the gateway could refuse it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from lepton_core.api.limits import MAX_IDEMPOTENCY_KEY_CHARS
from lepton_core.cancellation import raise_if_cancelled
from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.queue import SUBMIT_TASK
from lepton_core.validation import check_depth
from lepton_gateway.intake.messages import (
    MAX_MESSAGE_BYTES,
    Message,
    MessageSubmitter,
    Origin,
    parse_message,
    peek_message_id,
)
from lepton_gateway.intake.options import check_options, expiry
from lepton_gateway.intake.stream import StreamIntake
from lepton_gateway.json_body import parse_object
from lepton_gateway.settings import Binding

log = logging.getLogger(__name__)

ENTRY = "task"
# Base64 makes the body a third longer, and the envelope adds headers.
MAX_ENVELOPE_BYTES = 2 * MAX_MESSAGE_BYTES
# A call with a priority is in a list of its own, named by the queue's name, a separator and a number up to 9. The
# producer's transport options `priority_steps` and `sep` set the numbers and the separator; read are the default
# separator and the one in Celery's documentation. Lists of lower numbers are read first.
SEPARATORS = ("\x06\x16", ":")
PRIORITIES = ("", *(f"{separator}{number}" for number in range(1, 10) for separator in SEPARATORS))
MOVED_AT_ONCE = 100
BLOCK_SECONDS = 2
# Not growing: see intake/stream.py.
RETRY_SECONDS = 1.0

# KEYS: the stream, then the lists. Atomic, so that an entry is always in one of them.
MOVE = """
local moved = 0
for index = 2, #KEYS do
  while moved < tonumber(ARGV[2]) do
    local entry = redis.call('RPOP', KEYS[index])
    if not entry then break end
    redis.call('XADD', KEYS[1], '*', ARGV[1], entry)
    moved = moved + 1
  end
end
return moved
"""


class TaskIntake:
    """Moves the messages of one Celery queue into its stream, and reads the stream."""

    def __init__(self, redis: Redis, submitter: MessageSubmitter, binding: Binding, *, consumer: str) -> None:
        self._redis = redis
        self._queue = binding.celery_queue
        # The stream's name does not begin with the queue's name: producers have access to names that do.
        self._stream = f"lepton:tasks:{binding.celery_queue}"
        self._reader = StreamIntake(
            redis, submitter, binding, consumer=consumer, stream=self._stream, reader=TaskEntries()
        )

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._move_all())
            group.create_task(self._reader.run())

    async def _move_all(self) -> None:
        keys = [self._stream, *(f"{self._queue}{priority}" for priority in PRIORITIES)]
        while True:
            raise_if_cancelled()
            try:
                while await self._redis.eval(MOVE, len(keys), *keys, ENTRY, str(MOVED_AT_ONCE)):
                    raise_if_cancelled()
                # Waits for an entry: moving it from the list's end to the same end changes nothing.
                await self._redis.blmove(self._queue, self._queue, BLOCK_SECONDS, "RIGHT", "RIGHT")
            except (RedisError, OSError) as error:
                log.warning("queue %s: queue server: %s", self._queue, error)
                await asyncio.sleep(RETRY_SECONDS)


class TaskEntries:
    """Entries with a whole Celery message in the one field `task`."""

    def message(self, fields: Mapping[bytes, bytes]) -> Message:
        call = read_call(fields)
        return replace(parse_message(call.argument), expired=call.expired)

    def origin(self, entry_id: str, fields: Mapping[bytes, bytes]) -> Origin:
        """The ids, also of a call that is refused because of an option."""
        message_id = task_id = ""
        with contextlib.suppress(LeptonError):
            envelope = _envelope(fields)
            headers = _object(envelope, "headers")
            task_id = _task_id(headers.get("id"))
            payload = _payload(envelope)
            task_id = task_id or _task_id(payload.get("id") if isinstance(payload, Mapping) else None)
            message_id = peek_message_id(_argument(*_called(headers, payload)[:3]))
        return Origin(entry_id, message_id, task_id)

    def body(self, fields: Mapping[bytes, bytes]) -> bytes:
        return fields.get(ENTRY.encode(), b"")


@dataclass(frozen=True, slots=True)
class Call:
    """What `lepton.submit` was called with; `expired` if its time has passed."""

    argument: Mapping[str, Any]
    expired: LeptonError | None = None


def read_call(fields: Mapping[bytes, bytes], now: datetime | None = None) -> Call:
    """Raises INVALID, also for Celery options that would have no effect, or TOO_LARGE."""
    envelope = _envelope(fields)
    headers = _object(envelope, "headers")
    if headers.get("compression"):
        raise invalid("compression", "compressed messages are not read", headers["compression"], "none")
    task, args, kwargs, options = _called(headers, _payload(envelope))
    argument = _argument(task, args, kwargs)
    check_options(options)
    return Call(argument, expiry(options.get("expires"), now or datetime.now(UTC)))


def _envelope(fields: Mapping[bytes, bytes]) -> Mapping[str, Any]:
    raw = fields.get(ENTRY.encode(), b"")
    if len(raw) > MAX_ENVELOPE_BYTES:
        raise LeptonError(ErrorCode.TOO_LARGE, f"The message is larger than {MAX_ENVELOPE_BYTES} bytes.")
    return parse_object(raw)


def _payload(envelope: Mapping[str, Any]) -> Any:
    kind, body = envelope.get("content-type"), envelope.get("body")
    if kind != "application/json":
        raise invalid("content-type", "not read here", kind, "application/json")
    encoding = _object(envelope, "properties").get("body_encoding")
    if not isinstance(body, str) or encoding not in ("base64", None):
        raise invalid("body", "not a text, or encoded in an unknown way", encoding, "base64, or none")
    try:
        value = orjson.loads(base64.b64decode(body, validate=True) if encoding else body)
    except ValueError as error:  # of base64 and of JSON
        raise invalid("body", f"cannot be decoded: {error}", None, "JSON") from None
    check_depth(value)
    return value


def _called(headers: Mapping[str, Any], payload: Any) -> tuple[Any, Any, Any, Mapping[str, Any]]:
    """Task, arguments, keywords, options, from Celery's message protocol 2 or 1.

    https://docs.celeryq.dev/en/stable/internals/protocol.html
    """
    task = headers.get("task")
    if task is None and isinstance(payload, Mapping):
        return payload.get("task"), payload.get("args"), payload.get("kwargs"), payload
    if isinstance(payload, list) and len(payload) >= 2:
        embedded = payload[2] if len(payload) > 2 and isinstance(payload[2], Mapping) else {}
        return task, payload[0], payload[1], {**headers, **embedded}
    raise invalid("message", "not a task message", None, "Celery's message protocol 1 or 2")


def _argument(task: Any, args: Any, kwargs: Any) -> Mapping[str, Any]:
    if task != SUBMIT_TASK:
        raise invalid("task", "not a task of this queue", task, SUBMIT_TASK)
    if isinstance(args, list) and len(args) == 1 and isinstance(args[0], Mapping):
        return args[0]
    if isinstance(kwargs, Mapping) and not args and kwargs:
        return kwargs
    raise invalid("args", "not one message", None, '{"message_id": …, "job": {…}} as the one argument, or as keywords')


def _task_id(value: Any) -> str:
    return value[:MAX_IDEMPOTENCY_KEY_CHARS] if isinstance(value, str) else ""


def _object(envelope: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = envelope.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise invalid(name, "not an object", value, "an object")
    return value
