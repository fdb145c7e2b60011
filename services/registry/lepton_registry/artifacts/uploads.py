"""Uploads of big files: created → parts sent → completed → hashed in a thread → committed.

Clients send the parts of a multipart upload to a new random key by presigned URLs. Only the registry completes it, and
after that no URL can write there, so the hashed bytes cannot change.
"""

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from lepton_core.api.limits import MAX_UPLOAD_PARTS
from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.ids import check_digest
from lepton_core.objects.store import ObjectStore
from lepton_registry.artifacts import upload_tokens
from lepton_registry.artifacts.blobs import Stored
from lepton_registry.artifacts.keys import fresh_key
from lepton_registry.database.engine import Database, now_us
from lepton_registry.module import AttemptPolicy
from lepton_registry.settings import DEFAULT_RETENTION, RetentionSettings

log = logging.getLogger(__name__)

MIN_PART_BYTES = 16 * 1024 * 1024
# Number of uploads that are hashed at the same time.
HASHING_UPLOADS = 2


@dataclass(frozen=True, slots=True)
class PartUrl:
    number: int
    url: str
    offset: int
    bytes: int


@dataclass(frozen=True, slots=True)
class UploadStatus:
    """`parts` is empty unless the upload is open."""

    row: sa.Row[Any]
    parts: Sequence[PartUrl]


class Uploads:
    """Uploads and their verification. `run` resumes those of an earlier process, and tries again after outages."""

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        attempts: AttemptPolicy,
        *,
        max_bytes: int = 1 << 40,
        min_part_bytes: int = MIN_PART_BYTES,
        retention: RetentionSettings = DEFAULT_RETENTION,
        retry_seconds: float = 1.0,
    ) -> None:
        self._database = database
        self._objects = objects
        self._attempts = attempts
        self._max_bytes = max_bytes
        self._min_part_bytes = min_part_bytes
        self._url_seconds = retention.part_url_seconds
        self._upload_us = retention.upload_seconds * 1_000_000
        self._retry_seconds = retry_seconds
        self._hashing = asyncio.Semaphore(HASHING_UPLOADS)
        self._verifying: dict[str, asyncio.Task[None]] = {}

    async def create(
        self, project: str, digest: str, size: int, *, attempt_id: str = "", may_know: bool = True
    ) -> UploadStatus:
        """`attempt_id`: the attempt that sends it, if any. `may_know`: see upload_tokens.create."""
        check_digest(digest, "digest")
        if not 0 < size <= self._max_bytes:
            raise invalid("bytes", "is out of range", size, f"1 to {self._max_bytes}")
        key = fresh_key()
        multipart_id = await asyncio.to_thread(self._objects.create_multipart, key)
        row = None
        try:
            row = await self._database.write(
                lambda conn: upload_tokens.create(
                    conn,
                    project,
                    artifact=Stored(digest, size, key, 0),
                    part_bytes=max(self._min_part_bytes, -(-size // MAX_UPLOAD_PARTS)),
                    multipart_id=multipart_id,
                    expires_at_us=now_us() + self._upload_us,
                    attempt_id=attempt_id,
                    may_know=may_know,
                )
            )
        finally:
            if row is None or row.state == upload_tokens.COMMITTED:
                await asyncio.to_thread(self._objects.abort_multipart, key, multipart_id)
        return await self._status(row)

    async def complete(
        self, project: str, upload_id: str, parts: Sequence[tuple[int, str]], *, attempt_id: str = ""
    ) -> UploadStatus:
        """Returns at once; the client polls until the upload is committed or failed."""
        row = await self._database.write(
            lambda conn: upload_tokens.complete(conn, project, upload_id, parts, attempt_id)
        )
        if row.state == upload_tokens.VERIFYING:
            self._start(row)
        return await self._status(row)

    async def get(self, project: str, upload_id: str, *, attempt_id: str = "") -> UploadStatus:
        """With new part URLs while the upload is open."""
        row = await self._database.read(lambda conn: upload_tokens.get(conn, project, upload_id, attempt_id))
        return await self._status(row)

    async def run(self) -> None:
        while True:
            try:
                for row in await self._database.read(upload_tokens.list_verifying):
                    self._start(row)
            except LeptonError as error:
                log.warning("cannot look for uploads to verify: %s", error.detail)
            await asyncio.sleep(self._retry_seconds)

    async def _status(self, row: sa.Row[Any]) -> UploadStatus:
        if row.state != upload_tokens.OPEN:
            return UploadStatus(row, ())
        return UploadStatus(row, await asyncio.to_thread(self._part_urls, row))

    def _part_urls(self, row: sa.Row[Any]) -> list[PartUrl]:
        return [
            PartUrl(
                number,
                self._objects.part_url(row.object_key, row.multipart_id, number, self._url_seconds),
                offset := (number - 1) * row.part_bytes,
                min(row.part_bytes, row.bytes - offset),
            )
            for number in range(1, upload_tokens.part_count(row.bytes, row.part_bytes) + 1)
        ]

    def _start(self, row: sa.Row[Any]) -> None:
        if row.id not in self._verifying:
            task = asyncio.create_task(self._verify(row))
            self._verifying[row.id] = task
            task.add_done_callback(lambda _: self._verifying.pop(row.id, None))

    async def _verify(self, row: sa.Row[Any]) -> None:
        """Leaves the upload as it is while the store or the database is unavailable; `run` starts it again."""
        try:
            async with self._hashing:
                fault = await asyncio.to_thread(self._find_fault, row)
            if fault:
                await self._database.write(lambda conn: upload_tokens.fail(conn, row.id, fault))
                used = False
            else:
                used = await self._database.write(lambda conn: upload_tokens.commit(conn, self._attempts, row))
            if not used:
                await asyncio.to_thread(self._objects.delete, row.object_key)
        except LeptonError as error:
            log.warning("upload %s is not verified yet: %s", row.id, error.detail)
        except Exception:
            # Any error: `run` tries again, and one upload must not stop the others.
            log.exception("upload %s could not be verified", row.id)

    def _find_fault(self, row: sa.Row[Any]) -> str:
        """Completes the object and reads it; returns what is wrong with it, or an empty text."""
        parts = [(number, etag) for number, etag in json.loads(row.parts_json)]
        if fault := self._find_wrong_part(row):
            self._objects.abort_multipart(row.object_key, row.multipart_id)
            return fault
        try:
            self._objects.complete_multipart(row.object_key, row.multipart_id, parts)
        except LeptonError as error:
            if error.code is ErrorCode.UNAVAILABLE:
                raise
            # An earlier try may have completed the upload: then the object exists.
            if self._objects.size(row.object_key) is None:
                return f"the store could not join the parts: {error.detail}"
        found, size = self._objects.digest(row.object_key)
        if size != row.bytes:
            return f"{size} bytes arrived, not {row.bytes}"
        return "" if found == row.digest else f"the bytes that arrived have the digest {found}, not {row.digest}"

    def _find_wrong_part(self, row: sa.Row[Any]) -> str:
        """Checks the sizes of the parts before they are joined: a presigned URL accepts any number of bytes."""
        try:
            sizes = self._objects.part_sizes(row.object_key, row.multipart_id)
        except LeptonError as error:
            if error.code is ErrorCode.NOT_FOUND:
                return ""  # completed by an earlier try, or deleted: the call to complete it shows which
            raise
        for number in range(1, upload_tokens.part_count(row.bytes, row.part_bytes) + 1):
            promised = min(row.part_bytes, row.bytes - (number - 1) * row.part_bytes)
            if sizes.get(number, promised) != promised:
                return f"part {number} has {sizes[number]} bytes, not {promised}"
        return ""
