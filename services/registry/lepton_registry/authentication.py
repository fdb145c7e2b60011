"""Authenticates callers of the registry: services by the hash of their token, attempts by the token of their claim."""

import json
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity import Principal, PrincipalKind, current_principal
from lepton_core.identity.authenticators import WORKER_SERVICE
from lepton_core.identity.tokens import attempt_token, parse_token, refused, same, token_sha256
from lepton_core.ids import is_ulid
from lepton_registry.database.engine import Database, now_us
from lepton_registry.module import AttemptPolicy
from lepton_registry.refusal import RefusedToStart

# How long the token of an ended attempt is accepted, so that a worker that was cut off learns that it is stale.
ENDED_ATTEMPT_SECONDS = 24 * 3600
MAX_REMEMBERED = 20_000
REMEMBERED_SECONDS = 60.0


def read_service_hashes(file: Path) -> dict[str, str]:
    """`{"gateway": "<sha256 of its token>", …}`"""
    try:
        found = json.loads(file.read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) and len(value) == 64 for value in found.values()):
        raise RefusedToStart(f"service_tokens_file {file}: not an object of service names and SHA-256 hashes")
    return found


class RegistryAuthenticator:
    """API keys are refused: requests with a key come through the gateway, which acts for the key's principal."""

    def __init__(
        self,
        database: Database,
        service_hashes: Mapping[str, str],
        attempt_secret: bytes,
        attempts: AttemptPolicy,
    ) -> None:
        self._database = database
        self._service_hashes = dict(service_hashes)
        self._attempt_secret = attempt_secret
        self._attempts = attempts
        self._known: OrderedDict[str, tuple[Principal, float]] = OrderedDict()

    def cached(self, token: str) -> Principal | None:
        found = self._known.get(token)
        if found is None or found[1] < time.monotonic():
            return None
        return found[0]

    async def authenticate(self, token: str) -> Principal:
        known = self.cached(token)
        if known is not None:
            return known
        parsed = parse_token(token)
        if parsed.kind == "s":
            return self._remember(token, self._service(token, parsed.subject))
        if parsed.kind == "a" and is_ulid(parsed.subject):
            return self._remember(token, await self._attempt(token, f"att_{parsed.subject}"))
        raise refused()

    def _service(self, token: str, name: str) -> Principal:
        expected = self._service_hashes.get(name)
        if expected is None or not same(expected, token_sha256(token)):
            raise refused()
        kind = PrincipalKind.WORKER if name == WORKER_SERVICE else PrincipalKind.SERVICE
        return Principal(kind, name, service=name)

    async def _attempt(self, token: str, attempt_id: str) -> Principal:
        if not same(attempt_token(attempt_id, self._attempt_secret), token):
            raise refused()
        row = await self._database.read(lambda conn: self._attempts.find(conn, attempt_id))
        if row is None or 0 < row.finished_at_us < now_us() - ENDED_ATTEMPT_SECONDS * 1_000_000:
            raise refused()
        return Principal(
            PrincipalKind.ATTEMPT,
            attempt_id,
            project=row.project,
            attempt_id=attempt_id,
            worker_id=row.worker_id,
        )

    def _remember(self, token: str, principal: Principal) -> Principal:
        self._known[token] = (principal, time.monotonic() + REMEMBERED_SECONDS)
        self._known.move_to_end(token)
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return principal


def caller() -> Principal:
    """The caller. Raises PERMISSION_DENIED unless it acts within a project."""
    principal = current_principal()
    if not principal.project:
        raise LeptonError(ErrorCode.PERMISSION_DENIED, "this call needs an acting principal with a project")
    return principal
