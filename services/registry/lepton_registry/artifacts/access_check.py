"""Limits attempt tokens to the files that their attempt may use. Other callers have access to all of their project."""

from collections.abc import Sequence

import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity import Principal, PrincipalKind
from lepton_registry.artifacts import attempt_files, blobs, store
from lepton_registry.database.engine import Database
from lepton_registry.module import AttemptPolicy


class AccessCheck:
    def __init__(self, database: Database, attempts: AttemptPolicy) -> None:
        self._database = database
        self._attempts = attempts

    async def sends(self, principal: Principal) -> None:
        """Raises unless the caller may add files."""
        if principal.kind is PrincipalKind.ATTEMPT:
            await self._database.read(lambda conn: self._attempts.folders(conn, principal.attempt_id))

    async def reads(self, principal: Principal, digests: Sequence[str]) -> None:
        """Raises unless the caller may read these files. For an attempt, other files are NOT_FOUND."""
        if principal.kind is not PrincipalKind.ATTEMPT:
            return

        def check(conn: sa.Connection) -> None:
            folders = self._attempts.folders(conn, principal.attempt_id)
            store.require_within(conn, principal.project, folders, digests)

        await self._database.read(check)

    async def missing(self, principal: Principal, digests: Sequence[str]) -> list[str]:
        """The files that the caller must send. An attempt must also send files of the project that it may not read."""

        def read(conn: sa.Connection) -> list[str]:
            missing = set(blobs.find_missing(conn, principal.project, digests))
            if principal.kind is PrincipalKind.ATTEMPT:
                missing |= set(digests) - self._held(conn, principal, digests)
            return [digest for digest in dict.fromkeys(digests) if digest in missing]

        return await self._database.read(read)

    async def names(self, principal: Principal, digests: Sequence[str]) -> None:
        """Raises FAILED_PRECONDITION unless the caller may name these files in a folder."""
        if principal.kind is PrincipalKind.ATTEMPT:
            await self._database.read(lambda conn: self.require_held(conn, principal, digests))

    def require_held(self, conn: sa.Connection, principal: Principal, digests: Sequence[str]) -> None:
        """The same check for an attempt, in the caller's transaction."""
        folders = self._attempts.folders(conn, principal.attempt_id)
        attempt_files.require_held(conn, principal.project, principal.attempt_id, folders, digests)

    def _held(self, conn: sa.Connection, principal: Principal, digests: Sequence[str]) -> set[str]:
        folders = self._attempts.folders(conn, principal.attempt_id)
        return attempt_files.held(conn, principal.project, principal.attempt_id, folders, digests)

    async def sent(self, principal: Principal, digests: Sequence[str]) -> None:
        """Notes the files that an attempt has sent."""
        if principal.kind is PrincipalKind.ATTEMPT:
            await self._database.write(
                lambda conn: attempt_files.record(conn, self._attempts, principal.attempt_id, digests)
            )

    async def lists(self, principal: Principal, manifest_digest: str) -> None:
        """Raises unless the caller may list the folder's files."""
        if principal.kind is not PrincipalKind.ATTEMPT:
            return
        folders = await self._database.read(lambda conn: self._attempts.folders(conn, principal.attempt_id))
        if manifest_digest not in folders:
            raise LeptonError(ErrorCode.NOT_FOUND, f"no such manifest for this attempt: {manifest_digest[:80]!r}")
