"""Stream intake: `XADD lepton:submissions * body '{"message_id": "…", "job": {…}}'`, read by a consumer group.

Order: commit → reply event → acknowledge. If a process ends in between, the entry is delivered again, and its
idempotency key returns the same run.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from lepton_core.cancellation import raise_if_cancelled
from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.queue import reply_stream
from lepton_gateway.intake import replies
from lepton_gateway.intake.messages import (
    RETRIED,
    Message,
    MessageSubmitter,
    Origin,
    parse_message,
    peek_message_id,
)
from lepton_gateway.settings import Binding

log = logging.getLogger(__name__)

GROUP = "lepton-gateway"
BATCH = 64
BLOCK_MILLISECONDS = 2000
# An entry that its reader has not acknowledged for this long may be claimed by another reader.
ABANDONED_MILLISECONDS = 30_000
# Not growing, as core's Backoff does: one reader asks one queue server, and shall read as soon as that is back.
RETRY_SECONDS = 1.0
# An unexpected fault of the gateway may be temporary. After this many tries the message becomes a dead letter, so that
# it does not stay pending for ever.
TRIES = 10

# Atomic, and it deletes before it writes: a server whose memory is full lets a script write only after it has freed
# memory, so the entry could otherwise never be answered.
# KEYS: the stream, then the streams to write to. ARGV: group, entry, then for each stream to write to: the maximum
# number of entries, the number of fields and values, and the fields and values.
ANSWER = """
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
local at = 3
for index = 2, #KEYS do
  local last = at + 1 + tonumber(ARGV[at + 1])
  redis.call('XADD', KEYS[index], 'MAXLEN', '~', ARGV[at], '*', unpack(ARGV, at + 2, last))
  at = last + 1
end
"""


class EntryReader(Protocol):
    """How a message is encoded in an entry of a stream."""

    def message(self, fields: Mapping[bytes, bytes]) -> Message:
        """Raises INVALID or TOO_LARGE."""

    def origin(self, entry_id: str, fields: Mapping[bytes, bytes]) -> Origin:
        """The ids that can be read, also from an entry that is not a valid message."""

    def body(self, fields: Mapping[bytes, bytes]) -> bytes:
        """The text of the message for a dead letter."""


class BodyEntries:
    """Entries with the message as JSON in the one field `body`."""

    def message(self, fields: Mapping[bytes, bytes]) -> Message:
        if b"body" not in fields:
            raise invalid("body", "the entry has no such field", None, "one field `body` with JSON")
        return parse_message(fields[b"body"])

    def origin(self, entry_id: str, fields: Mapping[bytes, bytes]) -> Origin:
        return Origin(entry_id, peek_message_id(fields.get(b"body", b"")))

    def body(self, fields: Mapping[bytes, bytes]) -> bytes:
        if b"body" in fields:
            return fields[b"body"]
        texts = {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in fields.items()}
        return json.dumps(texts).encode()


class StreamIntake:
    """Reads one stream until cancelled. The entries of a batch are submitted together and may share one commit."""

    def __init__(
        self,
        redis: Redis,
        submitter: MessageSubmitter,
        binding: Binding,
        *,
        consumer: str,
        stream: str = "",
        reader: EntryReader | None = None,
    ) -> None:
        self._redis = redis
        self._submitter = submitter
        self._binding = binding
        self._consumer = consumer
        self._stream = stream or binding.stream
        self._reader = reader or BodyEntries()
        # Entry id → number of tries that ended with an unexpected fault; removed when the entry is answered.
        self._faults: Counter[bytes] = Counter()

    async def run(self) -> None:
        while True:
            raise_if_cancelled()
            try:
                await self._ensure_group()
                while True:
                    raise_if_cancelled()
                    await self._take_abandoned()
                    await self._take_own()
                    await self._take_new()
            except ResponseError as error:
                # FLUSHALL deletes the group. It is made again at 0, so that no entry is skipped.
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
        """Entries that this consumer received earlier and has not answered, after a restart or while the registry was
        unavailable."""
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
        if not answer:
            await self._report_lost()

    async def _report_lost(self) -> None:
        """Reports entries that were deleted before they were read: a producer's `XADD` may trim the stream, and no
        access rule can forbid that. Found from the server's own counters, while the stream is empty."""
        # Stream and groups in one answer: between two calls, somebody could add an entry.
        stream: Any = await self._redis.xinfo_stream(self._stream, full=True)
        ours = next((group for group in stream["groups"] if group["name"] == GROUP.encode()), None)
        # Servers before version 7 do not have these counters.
        added, read = stream.get("entries-added"), ours and ours.get("entries-read")
        if stream["length"] or ours is None or added is None or read is None or added <= read:
            return
        await self._set_aside_lost(added - read)
        await self._redis.xgroup_setid(self._stream, GROUP, stream["last-generated-id"], entries_read=added)

    async def _set_aside_lost(self, count: int, entry_id: str = "") -> None:
        error = LeptonError(
            ErrorCode.CONFLICT,
            f"{count} entries were deleted from the stream before they were answered: a producer trims it "
            "(XADD with MAXLEN or MINID), or deletes from it. Producers without a reply must send again.",
        )
        log.warning("stream %s: %s", self._stream, error.detail)
        letter = replies.dead_letter(Origin(entry_id), b"", error, f"stream {self._stream}")
        await self._write(entry_id.encode() or b"0-0", letters=letter)

    async def _handle(self, entries: list[tuple[bytes, Mapping[bytes, bytes]]]) -> bool:
        """Whether all of them are answered."""
        done = await asyncio.gather(*(self._one(entry_id, fields) for entry_id, fields in entries))
        return all(done)

    async def _one(self, entry_id: bytes, fields: Mapping[bytes, bytes] | None) -> bool:
        if not fields:
            # Deleted while pending. Only a trim does that: this reader deletes an entry only when it has answered it.
            await self._set_aside_lost(1, entry_id.decode())
            return True
        origin = self._reader.origin(entry_id.decode(), fields)
        try:
            message = self._reader.message(fields)
            submission = await self._submitter.submit(message)
        except RedisError:
            raise
        except LeptonError as error:
            if error.code in RETRIED and not (error.code is ErrorCode.INTERNAL and self._gives_up(entry_id)):
                return False
            await self._refuse(origin, fields, error)
            return True
        except Exception as error:
            # An unexpected fault with one entry must not stop the others.
            log.exception("stream %s: entry %s", self._stream, origin.entry_id)
            if not self._gives_up(entry_id):
                return False
            detail = f"given up after {TRIES} tries; each ended with a fault of the gateway ({type(error).__name__})"
            await self._refuse(origin, fields, LeptonError(ErrorCode.INTERNAL, detail))
            return True
        await self._write(entry_id, reply=replies.accepted(origin, submission))
        return True

    def _gives_up(self, entry_id: bytes) -> bool:
        self._faults[entry_id] += 1
        return self._faults[entry_id] >= TRIES

    async def _refuse(self, origin: Origin, fields: Mapping[bytes, bytes], error: LeptonError) -> None:
        source = f"stream {self._stream} {origin.entry_id}"
        letter = replies.dead_letter(origin, self._reader.body(fields), error, source)
        await self._write(origin.entry_id.encode(), reply=replies.refused(origin, error), letters=letter)

    async def _write(
        self, entry_id: bytes, *, reply: replies.Fields | None = None, letters: replies.Fields | None = None
    ) -> None:
        """Answer and acknowledge the entry, in one step."""
        keys: list[str] = [self._stream]
        arguments: list[bytes | str] = [GROUP, entry_id]
        for key, kept, fields in (
            (self._binding.dead_letters, replies.DEAD_LETTERS_KEPT, letters),
            (reply_stream(self._binding.principal), replies.REPLIES_KEPT, reply),
        ):
            if fields is not None:
                keys.append(key)
                arguments += [str(kept), str(2 * len(fields)), *(part for pair in fields.items() for part in pair)]
        await self._redis.eval(ANSWER, len(keys), *keys, *arguments)
        self._faults.pop(entry_id, None)
