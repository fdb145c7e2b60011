"""Deletes the logs of runs that ended long ago. A notice replaces them."""

import asyncio
from collections.abc import Sequence
from functools import partial

import sqlalchemy as sa

from lepton_core.objects.store import ObjectStore
from lepton_registry.artifacts.orphans import delete_orphans
from lepton_registry.database.engine import Database, now_us
from lepton_registry.database.leadership import Leadership
from lepton_registry.logs.chunks import KEY_PREFIX, NO_LONGER_KEPT
from lepton_registry.logs.store import CHUNKS, HEADS, OFFSETS, RUNS
from lepton_registry.runs.attempts import ATTEMPTS
from lepton_registry.runs.states import ENDED
from lepton_registry.settings import RetentionSettings

_SECOND = 1_000_000
_DAY = 24 * 3600 * _SECOND
_BATCH = 500


class LogRetention:
    """Deletes rows before bytes, so that readers find the notice. Objects left by a crash are found by listing."""

    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        *,
        retention: RetentionSettings,
        leadership: Leadership,
    ) -> None:
        self._database = database
        self._objects = objects
        self._retention = retention
        self._leadership = leadership

    async def work(self) -> str:
        """One round, for `periodic.leader_task`."""
        runs, orphans = await self.collect()
        return f"dropped the logs of {runs} runs and {orphans} chunks without a row" if runs or orphans else ""

    async def collect(self) -> tuple[int, int]:
        """Returns the number of runs whose logs were deleted, and of deleted objects without a row."""
        before, dropped = now_us() - self._retention.log_days * _DAY, 0
        while runs := await self._database.read(lambda conn: ended_before(conn, before)):
            for run_id in runs:
                for key in await self._leadership.write(partial(drop, run_id=run_id)):
                    await asyncio.to_thread(self._objects.delete, key)
            dropped += len(runs)
        old = now_us() - self._retention.orphan_object_seconds * _SECOND
        return dropped, await delete_orphans(self._database, self._objects, KEY_PREFIX, known_chunks, old)


def ended_before(conn: sa.Connection, before_us: int) -> list[str]:
    """Runs that ended before that time and still have logs. A head with 0 bytes means that its chunks are deleted."""
    statement = (
        sa.select(HEADS.c.run_id)
        .join(RUNS, RUNS.c.id == HEADS.c.run_id)
        .where(HEADS.c.bytes > 0, RUNS.c.state.in_(ENDED), RUNS.c.finished_at_us < before_us)
        .limit(_BATCH)
    )
    return list(conn.scalars(statement))


def drop(conn: sa.Connection, run_id: str) -> list[str]:
    """Deletes a run's chunks; returns the keys of their objects, which no row uses any more."""
    last = conn.execute(sa.select(CHUNKS).where(CHUNKS.c.run_id == run_id).order_by(CHUNKS.c.position.desc())).first()
    keys = list(conn.scalars(sa.delete(CHUNKS).where(CHUNKS.c.run_id == run_id).returning(CHUNKS.c.object_key)))
    of_run = sa.select(ATTEMPTS.c.id).where(ATTEMPTS.c.run_id == run_id)
    conn.execute(sa.delete(OFFSETS).where(OFFSETS.c.attempt_id.in_(of_run)))
    conn.execute(sa.update(HEADS).where(HEADS.c.run_id == run_id).values(bytes=0))
    if last is not None:
        line = {"offset": 0, "bytes": len(NO_LONGER_KEPT), "object_key": "", "at_us": now_us()}
        conn.execute(sa.insert(CHUNKS), dict(last._mapping) | {"stream": "rank-0"} | line)
    return [key for key in keys if key]


def known_chunks(conn: sa.Connection, keys: Sequence[str]) -> set[str]:
    """The keys that a row uses. A chunk's key contains the id of its run."""
    runs = {key.split("/")[1] for key in keys}
    found = sa.select(CHUNKS.c.object_key).where(CHUNKS.c.run_id.in_(runs), CHUNKS.c.object_key.in_(keys))
    return set(conn.scalars(found))
