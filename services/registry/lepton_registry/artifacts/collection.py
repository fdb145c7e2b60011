"""Garbage collection: unused artifacts are marked dead, and after a wait their bytes are deleted.

Each step may be repeated after a crash: rows are deleted after bytes, and objects without a row are found by listing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial

import sqlalchemy as sa

from lepton_core.objects.store import ObjectStore
from lepton_registry.artifacts import keys, upload_tokens
from lepton_registry.artifacts.blobs import ARTIFACTS, DEAD
from lepton_registry.artifacts.orphans import delete_orphans
from lepton_registry.artifacts.store import MANIFEST_FILES, MANIFESTS
from lepton_registry.artifacts.upload_tokens import UPLOADS
from lepton_registry.database.engine import Database, now_us
from lepton_registry.database.leadership import Leadership
from lepton_registry.module import KeepsManifest
from lepton_registry.settings import RetentionSettings

_SECOND = 1_000_000
_BATCH = 500


@dataclass(slots=True)
class Collected:
    uploads: int = 0
    manifests: int = 0
    marked: int = 0
    objects: int = 0
    orphans: int = 0


class Collector:
    """`keeps_manifest`: a condition from each resource that uses manifests. Manifests that none needs are deleted."""

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        keeps_manifest: Sequence[KeepsManifest],
        *,
        retention: RetentionSettings,
        leadership: Leadership,
    ) -> None:
        assert keeps_manifest, "everything would be collected"
        self._database = database
        self._objects = objects
        self._keeps_manifest = list(keeps_manifest)
        self._retention = retention
        self._leadership = leadership

    async def work(self) -> str:
        """One round, for `periodic.leader_task`."""
        done = await self.collect()
        return str(done) if any(getattr(done, field.name) for field in fields(done)) else ""

    async def collect(self) -> Collected:
        keep = self._retention
        done = Collected()
        # In this order, so that one round can also mark the files of a deleted manifest. Each step is a transaction.
        done.uploads = await self._end_uploads()
        before = now_us() - keep.unused_file_seconds * _SECOND
        done.manifests = await self._leadership.write(lambda conn: drop_manifests(conn, self._keeps_manifest, before))
        done.marked = await self._leadership.write(lambda conn: mark_dead(conn, before))
        done.objects = await self._delete_dead(now_us() - keep.deletion_wait_seconds * _SECOND)
        old = now_us() - keep.orphan_object_seconds * _SECOND
        done.orphans = await delete_orphans(self._database, self._objects, keys.PREFIX, known_objects, old)
        return done

    async def _end_uploads(self) -> int:
        """Ends uploads that have expired, and deletes their parts."""
        ended = 0
        for row in await self._database.read(upload_tokens.list_expired):
            if await self._leadership.write(partial(upload_tokens.expire, upload_id=row.id)):
                await asyncio.to_thread(self._objects.abort_multipart, row.object_key, row.multipart_id)
                ended += 1
        old = now_us() - self._retention.upload_ticket_seconds * _SECOND
        await self._leadership.write(lambda conn: upload_tokens.delete_ended(conn, old))
        return ended

    async def _delete_dead(self, before_us: int) -> int:
        dead = await self._database.read(lambda conn: dead_objects(conn, before_us))
        # Outside of a transaction. A file that is sent again meanwhile gets a new key, so its bytes are safe.
        for key in dead:
            await asyncio.to_thread(self._objects.delete, key)
        await self._leadership.write(lambda conn: forget_dead(conn, before_us))
        return len(dead)


def drop_manifests(conn: sa.Connection, keeps_manifest: Sequence[KeepsManifest], before_us: int) -> int:
    """Deletes manifests that nothing refers to. Using one at the same time moves `used_at_us`, which keeps it."""
    unused = sa.and_(MANIFESTS.c.used_at_us < before_us, *(~keeps(MANIFESTS) for keeps in keeps_manifest))
    dropped = list(conn.scalars(sa.delete(MANIFESTS).where(unused).returning(MANIFESTS.c.id)))
    for start in range(0, len(dropped), _BATCH):
        part = dropped[start : start + _BATCH]
        conn.execute(sa.delete(MANIFEST_FILES).where(MANIFEST_FILES.c.manifest_id.in_(part)))
    return len(dropped)


def mark_dead(conn: sa.Connection, before_us: int) -> int:
    """Marks files as dead that are in no manifest of their project, damaged ones included."""
    named = (
        sa.exists()
        .where(MANIFEST_FILES.c.digest == ARTIFACTS.c.digest)
        .where(MANIFESTS.c.id == MANIFEST_FILES.c.manifest_id, MANIFESTS.c.project == ARTIFACTS.c.project)
    )
    statement = (
        sa.update(ARTIFACTS)
        .where(ARTIFACTS.c.state != DEAD, ARTIFACTS.c.used_at_us < before_us, ~named)
        .values(state=DEAD, ended_at_us=now_us())
    )
    return conn.execute(statement).rowcount


def dead_objects(conn: sa.Connection, before_us: int) -> list[str]:
    """Objects of which all ranges have been dead for long enough: a pack is kept while one of its files is used."""
    over = sa.and_(ARTIFACTS.c.state == DEAD, ARTIFACTS.c.ended_at_us < before_us)
    other = ARTIFACTS.alias("other")
    alive = sa.exists().where(
        other.c.object_key == ARTIFACTS.c.object_key, (other.c.state != DEAD) | (other.c.ended_at_us >= before_us)
    )
    return list(conn.scalars(sa.select(ARTIFACTS.c.object_key).distinct().where(over, ~alive)))


def forget_dead(conn: sa.Connection, before_us: int) -> int:
    """Deletes rows that are still dead: one may have been sent again meanwhile, and be at another place."""
    over = sa.and_(ARTIFACTS.c.state == DEAD, ARTIFACTS.c.ended_at_us < before_us)
    return conn.execute(sa.delete(ARTIFACTS).where(over)).rowcount


def known_objects(conn: sa.Connection, keys: Sequence[str]) -> set[str]:
    """The keys that a row uses: of an artifact, or of an upload that has not ended."""
    artifacts = sa.select(ARTIFACTS.c.object_key).where(ARTIFACTS.c.object_key.in_(keys))
    unsettled = UPLOADS.c.state.in_((upload_tokens.OPEN, upload_tokens.VERIFYING))
    uploads = sa.select(UPLOADS.c.object_key).where(UPLOADS.c.object_key.in_(keys), unsettled)
    return {*conn.scalars(artifacts), *conn.scalars(uploads)}
