"""Tokens: how each kind is made, recognised and checked.

API keys are `lpk_<ulid of the key's id>_<secret>`, service tokens `lps_<service>_<secret>`, attempt tokens
`lpa_<ulid of the attempt's id>_<hmac>`. Secrets have 256 random bits and cannot be guessed, so storing a plain SHA-256
is enough. Attempt tokens are not stored: the registry derives them from its own secret.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from lepton_core.errors import ErrorCode, LeptonError

MAX_TOKEN_CHARS = 256

_SHAPE = re.compile(r"lp([ksa])_([0-9A-Za-z-]{1,64})_([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is "k", "s" or "a"; `subject` a key's or attempt's ULID, or a service's name."""

    kind: str
    subject: str
    secret: str


def parse_token(text: str) -> Token:
    """Raises UNAUTHENTICATED for a text that does not have the form of a token."""
    match = _SHAPE.fullmatch(text) if len(text) <= MAX_TOKEN_CHARS else None
    if match is None:
        raise refused()
    return Token(match[1], match[2], match[3])


def refused() -> LeptonError:
    """The same error for every bad credential, so that an answer does not reveal which part was right."""
    return LeptonError(ErrorCode.UNAUTHENTICATED, "the credentials are missing, not known, revoked or expired")


def new_api_key(key_id: str) -> str:
    """A new token for the key `key_…`; only `token_sha256` of it is stored."""
    return f"lpk_{key_id.removeprefix('key_')}_{secrets.token_hex(32)}"


def new_service_token(service: str) -> str:
    return f"lps_{service}_{secrets.token_hex(32)}"


def attempt_token(attempt_id: str, secret: bytes) -> str:
    subject = attempt_id.removeprefix("att_")
    return f"lpa_{subject}_{hmac.new(secret, subject.encode(), hashlib.sha256).hexdigest()}"


def token_sha256(token: str) -> str:
    """What is stored of an API key, and what `VerifyKey` carries: 64 hex digits over the whole token."""
    return hashlib.sha256(token.encode()).hexdigest()


def same(left: str, right: str) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(left.encode(), right.encode())
