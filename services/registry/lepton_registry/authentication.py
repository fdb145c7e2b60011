"""Authenticates callers of the registry: services by the hash of their token, attempts by the token of their claim."""

import json
from collections.abc import Mapping
from pathlib import Path

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity import Principal, PrincipalKind, TokenAuthenticator, current_principal
from lepton_core.identity.tokens import refused
from lepton_registry.database.engine import Database, now_us
from lepton_registry.module import AttemptPolicy
from lepton_registry.refusal import RefusedToStart

# How long the token of an ended attempt is accepted, so that a worker that was cut off learns that it is stale.
ENDED_ATTEMPT_SECONDS = 24 * 3600
# A shorter secret can be guessed, and attempt tokens made with it.
MIN_SECRET_BYTES = 16


def read_service_hashes(file: Path) -> dict[str, str]:
    """`{"gateway": "<sha256 of its token>", …}`"""
    try:
        found = json.loads(file.read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) and len(value) == 64 for value in found.values()):
        raise RefusedToStart(f"service_tokens_file {file}: not an object of service names and SHA-256 hashes")
    return found


def read_attempt_secret(file: Path) -> bytes:
    secret = file.read_bytes().strip()
    if len(secret) < MIN_SECRET_BYTES:
        raise RefusedToStart(f"attempt_token_secret_file {file}: {len(secret)} bytes; at least {MIN_SECRET_BYTES}")
    return secret


def build_authenticator(
    database: Database, service_hashes: Mapping[str, str], attempt_secret: bytes, attempts: AttemptPolicy
) -> TokenAuthenticator:
    """API keys are refused: requests with a key come through the gateway, which acts for the key's principal."""

    async def find_attempt(attempt_id: str) -> Principal:
        row = await database.read(lambda conn: attempts.find(conn, attempt_id))
        if row is None or 0 < row.finished_at_us < now_us() - ENDED_ATTEMPT_SECONDS * 1_000_000:
            raise refused()
        return Principal(
            PrincipalKind.ATTEMPT,
            attempt_id,
            project=row.project,
            attempt_id=attempt_id,
            worker_id=row.worker_id,
        )

    return TokenAuthenticator(service_hashes=service_hashes, attempt_secret=attempt_secret, find_attempt=find_attempt)


def caller() -> Principal:
    """The caller. Raises PERMISSION_DENIED unless it acts within a project."""
    principal = current_principal()
    if not principal.project:
        raise LeptonError(ErrorCode.PERMISSION_DENIED, "this call needs an acting principal with a project")
    return principal
