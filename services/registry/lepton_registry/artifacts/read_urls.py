"""Reading bytes: short-lived URLs of ranges, checks of reported damage, and copies for the registry itself."""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lepton_core.api.limits import MAX_DIGESTS
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import check_digest
from lepton_core.objects.store import ObjectStore
from lepton_registry.artifacts import blobs
from lepton_registry.artifacts.blobs import Stored
from lepton_registry.database.engine import Database

MAX_CHECKS = 2
SIGNED_AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Place:
    """In one answer an object has only one URL, so that readers can join adjacent ranges."""

    digest: str
    url: str
    offset: int
    bytes: int


class ReadUrls:
    """Each digest is looked up only in the given project."""

    def __init__(self, database: Database, objects: ObjectStore, *, url_seconds: int = 900) -> None:
        self._database = database
        self._objects = objects
        self._url_seconds = url_seconds
        self._checks = asyncio.Semaphore(MAX_CHECKS)

    async def locate(self, project: str, digests: Sequence[str]) -> list[Place]:
        """The digests are checked by the caller: see check_digests."""
        stored = await self._database.read(lambda conn: blobs.locate(conn, project, digests))
        keys = {item.object_key for item in stored}
        # Signing takes about 0.1 ms each: for a few, a thread would cost more.
        urls = self._urls(keys) if len(keys) <= SIGNED_AT_ONCE else await asyncio.to_thread(self._urls, keys)
        return [Place(item.digest, urls[item.object_key], item.object_offset, item.bytes) for item in stored]

    def _urls(self, keys: set[str]) -> dict[str, str]:
        return {key: self._objects.read_url(key, self._url_seconds) for key in keys}

    async def report_damage(self, project: str, digest: str) -> bool:
        """Reads the bytes again. If they are damaged, the digest counts as missing until it is sent again."""
        check_digest(digest, "digest")
        row = await self._database.read(lambda conn: blobs.find(conn, project, digest))
        if row is None:
            raise LeptonError(ErrorCode.NOT_FOUND, f"no such file in this project's store: {digest}")
        async with self._checks:
            sound = await asyncio.to_thread(self._is_sound, row)
        if sound:
            return False
        await self._database.write(lambda conn: blobs.mark_damaged(conn, project, row))
        return True

    def _is_sound(self, item: Stored) -> bool:
        return self._read(item, lambda _: None)

    def _read(self, item: Stored, take: Callable[[bytes], object]) -> bool:
        """Passes the bytes on; returns whether they match the digest. A missing or too short object does not."""
        sha256 = hashlib.sha256()
        try:
            for chunk in self._objects.stream(item.object_key, item.object_offset, item.bytes) if item.bytes else ():
                sha256.update(chunk)
                take(chunk)
        except LeptonError as error:
            if error.code in (ErrorCode.NOT_FOUND, ErrorCode.CORRUPT):
                return False
            raise
        return f"sha256:{sha256.hexdigest()}" == item.digest

    async def copy(self, project: str, digest: str, target: Path) -> None:
        """A verified local copy. Raises CORRUPT, and marks the artifact as damaged, if the bytes do not match."""
        [item] = await self._database.read(lambda conn: blobs.locate(conn, project, [digest]))
        if await asyncio.to_thread(self._copy, item, target):
            return
        await self._database.write(lambda conn: blobs.mark_damaged(conn, project, item))
        raise LeptonError(
            ErrorCode.CORRUPT, f"the stored bytes of {digest} are damaged; send the file again to repair it"
        )

    def _copy(self, item: Stored, target: Path) -> bool:
        with target.open("xb") as file:
            return self._read(item, file.write)


def check_digests(digests: Sequence[str]) -> None:
    """Checks the number of digests and the form of each."""
    check_count(digests)
    for index, digest in enumerate(digests):
        check_digest(digest, f"digests[{index}]")


def check_count(digests: Sequence[str]) -> None:
    if len(digests) > MAX_DIGESTS:
        raise LeptonError(ErrorCode.TOO_LARGE, f"digests: {len(digests)} in one call; allowed: at most {MAX_DIGESTS}")
