"""Keeps an attempt's token to what that attempt may touch; everybody else is let through to their project's files."""

from collections.abc import Sequence

import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity import Principal, PrincipalKind
from lepton_registry.artifacts import store
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
        """Raises unless the caller may have these files; to an attempt others are as if they were not there."""
        if principal.kind is not PrincipalKind.ATTEMPT:
            return

        def check(conn: sa.Connection) -> None:
            folders = self._attempts.folders(conn, principal.attempt_id)
            store.require_within(conn, principal.project, folders, digests)

        await self._database.read(check)

    async def lists(self, principal: Principal, manifest_digest: str) -> None:
        """Raises unless the caller may have the names of the folder's files."""
        if principal.kind is not PrincipalKind.ATTEMPT:
            return
        folders = await self._database.read(lambda conn: self._attempts.folders(conn, principal.attempt_id))
        if manifest_digest not in folders:
            raise LeptonError(ErrorCode.NOT_FOUND, f"no such manifest for this attempt: {manifest_digest[:80]!r}")
