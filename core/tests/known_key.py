"""A key and a service token that the servers of the tests let in."""

from __future__ import annotations

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity import Principal, TokenAuthenticator, new_api_key, new_service_token, token_sha256
from lepton_core.ids import new_id

KEY_ID = new_id("key")
KEY = new_api_key(KEY_ID)
GATEWAY = new_service_token("gateway")


def authenticator_for(principal: Principal) -> TokenAuthenticator:
    """Lets in `KEY`, which is the principal's, and the gateway."""

    async def verify(key_id: str, sha256: str) -> Principal:
        if key_id == KEY_ID and sha256 == token_sha256(KEY):
            return principal
        raise LeptonError(ErrorCode.UNAUTHENTICATED, "no such key")

    return TokenAuthenticator(service_hashes={"gateway": token_sha256(GATEWAY)}, verify_key=verify)
