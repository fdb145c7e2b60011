"""The Celery door: any Celery client calls the task `lepton.submit` by name on a bound queue.

The gateway reads the queue with kombu, Celery's own messaging library, instead of running a Celery worker: a worker
acknowledges by rules of its own, and here the order must be commit → reply event → acknowledge.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import zlib
from collections.abc import Mapping
from typing import Any

from kombu import Connection, Consumer, Message, Queue
from kombu.exceptions import KombuError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from lepton_core.errors import LeptonError, invalid
from lepton_core.queue import SUBMIT_TASK, reply_stream
from lepton_gateway.intake import replies
from lepton_gateway.intake.messages import RETRIED, MessageSubmitter, parse_message
from lepton_gateway.settings import Binding

log = logging.getLogger(__name__)

PREFETCH = 16
POLL_SECONDS = 0.5
RETRY_SECONDS = 1.0


class TaskIntake:
    """kombu blocks, so it reads in a thread; what a message asks for runs on the gateway's loop."""

    def __init__(self, broker_url: str, redis: Redis, submitter: MessageSubmitter, binding: Binding) -> None:
        self._broker_url = broker_url
        self._redis = redis
        self._submitter = submitter
        self._binding = binding
        self._stop = threading.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.ensure_future(asyncio.to_thread(self._read, loop))
        try:
            await asyncio.shield(reader)
        finally:
            self._stop.set()
            await reader

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        queue = Queue(self._binding.celery_queue, durable=True)
        while not self._stop.is_set():
            try:
                with Connection(self._broker_url) as connection, connection.channel() as channel:
                    consumer = Consumer(channel, [queue], accept=["json"], prefetch_count=PREFETCH)
                    consumer.on_message = lambda message: self._one(message, loop)
                    with consumer:
                        self._drain(connection)
            except (OSError, KombuError, RedisError) as error:
                log.warning("queue %s: queue server: %s", self._binding.celery_queue, error)
                self._stop.wait(RETRY_SECONDS)

    def _drain(self, connection: Connection) -> None:
        while not self._stop.is_set():
            try:
                connection.drain_events(timeout=POLL_SECONDS)
            except TimeoutError:
                continue

    def _one(self, message: Message, loop: asyncio.AbstractEventLoop) -> None:
        answer = asyncio.run_coroutine_threadsafe(self._answer(message), loop)
        if answer.result():
            message.ack()
        else:
            # Back in the queue at once would spin; the registry needs a moment.
            self._stop.wait(RETRY_SECONDS)
            message.requeue()

    async def _answer(self, message: Message) -> bool:
        """False if the message must be tried again."""
        body: object = None
        try:
            body = task_body(message)
            parsed = parse_message(body)
            submission = await self._submitter.submit(parsed)
        except LeptonError as error:
            if error.code in RETRIED:
                return False
            letter = replies.dead_letter(
                body if body is not None else message.body, error, f"queue {self._binding.celery_queue}"
            )
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.xadd(self._binding.dead_letters, letter, maxlen=replies.DEAD_LETTERS_KEPT, approximate=True)
                self._reply(pipe, replies.refused(body, error))
                await pipe.execute()
            return True
        async with self._redis.pipeline(transaction=True) as pipe:
            self._reply(pipe, replies.accepted(parsed.message_id, submission))
            await pipe.execute()
        return True

    def _reply(self, pipe: Redis, reply: replies.Fields) -> None:
        name = reply_stream(self._binding.principal)
        pipe.xadd(name, reply, maxlen=replies.REPLIES_KEPT, approximate=True)


def task_body(message: Message) -> Mapping[str, Any]:
    """The one argument of a call of `lepton.submit`, from Celery's message protocol 2 or 1.

    (https://docs.celeryq.dev/en/stable/internals/protocol.html). Raises INVALID.
    """
    try:
        payload = message.decode()
    except (KombuError, ValueError, LookupError, TypeError, OSError, EOFError, zlib.error) as error:
        raise invalid("message", f"cannot be decoded: {type(error).__name__}", None, "JSON") from None
    task = message.headers.get("task") if message.headers else None
    if task is None and isinstance(payload, Mapping):
        task, args, kwargs = payload.get("task"), payload.get("args"), payload.get("kwargs")
    elif isinstance(payload, list) and len(payload) >= 2:
        args, kwargs = payload[0], payload[1]
    else:
        raise invalid("message", "not a task message", None, "Celery's message protocol 1 or 2")
    if task != SUBMIT_TASK:
        raise invalid("task", "not a task of this queue", task, SUBMIT_TASK)
    if isinstance(args, list) and len(args) == 1 and isinstance(args[0], Mapping):
        return args[0]
    if isinstance(kwargs, Mapping) and not args and kwargs:
        return kwargs
    raise invalid("args", "not one message", None, '{"message_id": …, "job": {…}} as the one argument, or as keywords')
