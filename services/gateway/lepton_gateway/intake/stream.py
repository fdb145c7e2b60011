"""The stream door: `XADD lepton:submissions * body '{"message_id": "…", "job": {…}}'`, read by a consumer group.

Order: commit → reply event → acknowledge. Whatever dies in between, the entry is delivered again and its key answers
the same run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from lepton_core.errors import LeptonError, invalid
from lepton_core.queue import reply_stream
from lepton_gateway.intake import replies
from lepton_gateway.intake.messages import RETRIED, MessageSubmitter, parse_message
from lepton_gateway.settings import Binding

log = logging.getLogger(__name__)

GROUP = "lepton-gateway"
BATCH = 64
BLOCK_MILLISECONDS = 2000
# An entry whose reader has not answered for so long belongs to whoever asks next.
ABANDONED_MILLISECONDS = 30_000
RETRY_SECONDS = 1.0

# The message within an entry, from its fields. Raises INVALID or TOO_LARGE.
BodyOf = Callable[[Mapping[bytes, bytes]], bytes | Mapping[str, Any]]


class StreamIntake:
    """Reads one stream until cancelled. A batch is submitted together, so that one registry commit may serve it."""

    def __init__(
        self,
        redis: Redis,
        submitter: MessageSubmitter,
        binding: Binding,
        *,
        consumer: str,
        stream: str = "",
        body_of: BodyOf | None = None,
    ) -> None:
        self._redis = redis
        self._submitter = submitter
        self._binding = binding
        self._consumer = consumer
        self._stream = stream or binding.stream
        self._body_of = body_of or entry_body

    async def run(self) -> None:
        while True:
            try:
                await self._ensure_group()
                while True:
                    await self._take_abandoned()
                    await self._take_own()
                    await self._take_new()
            except ResponseError as error:
                # FLUSHALL takes the group with it; it is made again at 0, so that nothing in between is skipped.
                if "NOGROUP" not in str(error):
                    log.error("stream %s: %s", self._stream, error)
                    await asyncio.sleep(RETRY_SECONDS)
            except (RedisError, OSError) as error:
                log.warning("stream %s: queue server: %s", self._stream, error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _ensure_group(self) -> None:
        try:
            await self._redis.xgroup_create(self._stream, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _take_abandoned(self) -> None:
        answer: Any = await self._redis.xautoclaim(
            self._stream, GROUP, self._consumer, min_idle_time=ABANDONED_MILLISECONDS, count=BATCH
        )
        await self._handle(answer[1])

    async def _take_own(self) -> None:
        """Entries this consumer got before and has not answered: the registry was away, or the process restarted."""
        answer: Any = await self._redis.xreadgroup(GROUP, self._consumer, {self._stream: "0"}, count=BATCH)
        for _, entries in answer or []:
            if entries and not await self._handle(entries):
                await asyncio.sleep(RETRY_SECONDS)

    async def _take_new(self) -> None:
        answer: Any = await self._redis.xreadgroup(
            GROUP, self._consumer, {self._stream: ">"}, count=BATCH, block=BLOCK_MILLISECONDS
        )
        for _, entries in answer or []:
            await self._handle(entries)

    async def _handle(self, entries: list[tuple[bytes, Mapping[bytes, bytes]]]) -> bool:
        """Whether all of them are answered."""
        done = await asyncio.gather(*(self._one(entry_id, fields) for entry_id, fields in entries))
        return all(done)

    async def _one(self, entry_id: bytes, fields: Mapping[bytes, bytes] | None) -> bool:
        try:
            return await self._answer(entry_id, fields)
        except RedisError:
            raise
        except Exception:
            # One entry that finds a fault of ours must not shut the door for the others; it stays pending.
            log.exception("stream %s: entry %s", self._stream, entry_id.decode())
            return False

    async def _answer(self, entry_id: bytes, fields: Mapping[bytes, bytes] | None) -> bool:
        if not fields:
            # Deleted by its producer while it was pending: there is nothing to answer about.
            await self._redis.xack(self._stream, GROUP, entry_id)
            return True
        data: bytes | Mapping[str, Any] = _text(fields)
        try:
            data = self._body_of(fields)
            message = parse_message(data)
            submission = await self._submitter.submit(message)
        except LeptonError as error:
            if error.code in RETRIED:
                return False
            await self._refuse(entry_id, data, error)
            return True
        async with self._redis.pipeline(transaction=True) as pipe:
            self._reply(pipe, replies.accepted(message.message_id, submission))
            self._acknowledge(pipe, entry_id)
            await pipe.execute()
        return True

    async def _refuse(self, entry_id: bytes, data: object, error: LeptonError) -> None:
        letter = replies.dead_letter(data, error, f"stream {self._stream} {entry_id.decode()}")
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xadd(self._binding.dead_letters, letter, maxlen=replies.DEAD_LETTERS_KEPT, approximate=True)
            self._reply(pipe, replies.refused(data, error))
            self._acknowledge(pipe, entry_id)
            await pipe.execute()

    def _reply(self, pipe: Redis, reply: replies.Fields) -> None:
        name = reply_stream(self._binding.principal)
        pipe.xadd(name, reply, maxlen=replies.REPLIES_KEPT, approximate=True)

    def _acknowledge(self, pipe: Redis, entry_id: bytes) -> None:
        pipe.xack(self._stream, GROUP, entry_id)
        pipe.xdel(self._stream, entry_id)


def entry_body(fields: Mapping[bytes, bytes]) -> bytes:
    """Raises INVALID."""
    if b"body" not in fields:
        raise invalid("body", "the entry has no such field", None, "one field `body` with JSON")
    return fields[b"body"]


def _text(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in fields.items()}
