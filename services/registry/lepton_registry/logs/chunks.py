"""Log chunks as objects: written before their row, so that every row has its bytes."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from lepton_core.errors import invalid
from lepton_core.ids import new_ulid
from lepton_core.objects.store import ObjectStore
from lepton_registry.database.engine import Database
from lepton_registry.logs import store
from lepton_registry.logs.store import Chunk

MAX_CHUNK_BYTES = 4 * 1024 * 1024
MAX_CACHE_BYTES = 32 * 1024 * 1024
MAX_READS = 8
KEY_PREFIX = "logs/"
# The text of a row without an object, which replaces deleted chunks.
NO_LONGER_KEPT = b"[lepton: this run ended so long ago that its log is no longer kept]\n"
_STREAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class LogChunks:
    def __init__(self, database: Database, objects: ObjectStore, *, max_bytes_per_run: int) -> None:
        self._database = database
        self._objects = objects
        self._max_bytes_per_run = max_bytes_per_run
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._cached_bytes = 0
        self._reads = asyncio.Semaphore(MAX_READS)

    async def append(self, attempt_id: str, stream: str, offset: int, data: bytes) -> tuple[int, bool]:
        """The committed offset of the stream, and whether the run's limit is reached. Then nothing more is kept, and
        the last chunk ends with a notice."""
        _check(stream, offset, data)
        found = await self._database.read(lambda conn: store.room(conn, attempt_id, stream, self._max_bytes_per_run))
        if offset != found.committed or not data:
            return found.committed, found.full
        if found.full:
            # Accepted and dropped, so that the worker can continue.
            dropped = Chunk(attempt_id, stream, offset, len(data), 0, "", full=True)
            return await self._database.write(lambda conn: store.append(conn, dropped)), True
        body, full = data, len(data) > found.left
        if full:
            body = data[: found.left] + _notice(self._max_bytes_per_run)
        key = f"{KEY_PREFIX}{found.run_id}/{new_ulid()}"
        await asyncio.to_thread(self._objects.put, key, body)
        chunk = Chunk(attempt_id, stream, offset, len(data), len(body), key, full=full)
        committed = await self._database.write(lambda conn: store.append(conn, chunk))
        if committed == offset + len(data):
            self._remember(key, body)
        return committed, full

    async def read(self, rows: Sequence[sa.Row[Any]]) -> list[bytes]:
        return list(await asyncio.gather(*[self._read(row.object_key, row.bytes) for row in rows]))

    async def _read(self, key: str, size: int) -> bytes:
        if not key:
            return NO_LONGER_KEPT
        data = self._cache.get(key)
        if data is None:
            async with self._reads:
                data = await asyncio.to_thread(self._objects.read, key, 0, size)
            self._remember(key, data)
        return data

    def _remember(self, key: str, data: bytes) -> None:
        if key in self._cache:
            return
        self._cache[key] = data
        self._cached_bytes += len(data)
        while self._cached_bytes > MAX_CACHE_BYTES:
            _, dropped = self._cache.popitem(last=False)
            self._cached_bytes -= len(dropped)


def _notice(max_bytes: int) -> bytes:
    return (
        f"\n[lepton: the logs of this run have reached the limit of {max_bytes} bytes; the rest is not kept]\n".encode()
    )


def _check(stream: str, offset: int, data: bytes) -> None:
    if not _STREAM.fullmatch(stream):
        raise invalid("stream", "not a name of a log stream", stream, "rank-0, launcher")
    if offset < 0:
        raise invalid("offset", "negative", offset, "0 or more")
    if len(data) > MAX_CHUNK_BYTES:
        raise invalid("data", "too large", len(data), f"at most {MAX_CHUNK_BYTES} bytes")
