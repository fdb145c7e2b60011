"""The deployments for inference to serve: sent in full on connect, after each change and every `resend_seconds`."""

import asyncio
import time
from collections.abc import AsyncIterator

import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError
from lepton_proto.v1 import artifacts_pb2
from lepton_proto.v1 import deployments_pb2 as pb
from lepton_registry.artifacts import store as artifacts
from lepton_registry.database.engine import Database
from lepton_registry.deployments import revisions, store
from lepton_registry.deployments.messages import deployment_messages

Files = list[artifacts_pb2.FileEntry]


class ServingWatch:
    """Sends the state when the generation in the database has changed.

    Commits of this process wake it; `poll_seconds` finds changes of other registry processes. At least `pause_seconds`
    pass between two reads, since most commits do not concern deployments.
    """

    def __init__(
        self,
        database: Database,
        *,
        resend_seconds: float = 30.0,
        poll_seconds: float = 1.0,
        pause_seconds: float = 0.05,
    ) -> None:
        self._database = database
        self._resend_seconds = resend_seconds
        self._poll_seconds = poll_seconds
        self._pause_seconds = pause_seconds
        self._files: dict[tuple[str, str], Files] = {}

    async def states(self) -> AsyncIterator[list[pb.ServingTarget]]:
        sent_generation, sent_at, seen = -1, 0.0, -1
        while True:
            if sent_generation >= 0:
                due = sent_at + self._resend_seconds - time.monotonic()
                commits = await self._database.commits.wait(seen, max(0.0, min(self._poll_seconds, due)))
                if commits != seen:
                    await asyncio.sleep(self._pause_seconds)
            seen = self._database.commits.count
            generation = await self._database.read(revisions.generation)
            if generation == sent_generation and time.monotonic() < sent_at + self._resend_seconds:
                continue
            # A change between the two reads is sent now, and again after the next read.
            targets = await self._database.read(self._targets)
            sent_generation, sent_at = generation, time.monotonic()
            yield targets

    def _targets(self, conn: sa.Connection) -> list[pb.ServingTarget]:
        deployments = deployment_messages(conn, store.list_all(conn))
        kept: dict[tuple[str, str], Files] = {}

        def files(project: str, digest: str) -> Files:
            if digest and (project, digest) not in kept:
                kept[project, digest] = self._files.get((project, digest)) or _read_files(conn, project, digest)
            return kept.get((project, digest), [])

        targets = [
            pb.ServingTarget(
                deployment=deployment,
                desired_files=files(deployment.project, deployment.desired.model_digest),
                last_good_files=files(deployment.project, deployment.last_good.model_digest),
            )
            for deployment in deployments
        ]
        self._files = kept
        return targets


def _read_files(conn: sa.Connection, project: str, digest: str) -> Files:
    try:
        found = artifacts.manifest_files(conn, project, digest)
    except LeptonError as error:
        # One broken deployment must not prevent the others from being served.
        if error.code is not ErrorCode.NOT_FOUND:
            raise
        return []
    return [artifacts_pb2.FileEntry(path=file.path, digest=file.digest, bytes=file.bytes) for file in found]
