"""From a token to a principal. One authenticator serves HTTP and gRPC of a service."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Protocol

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity.principals import Principal, PrincipalKind, with_acting
from lepton_core.identity.tokens import attempt_token, parse_token, refused, same, token_sha256
from lepton_core.ids import is_ulid

ACTING_KEY = "x-lepton-acting"
# The service token of this name is the pool token of workers.
WORKER_SERVICE = "trainer"
ATTEMPT_CACHE_SECONDS = 60.0
MAX_CACHED = 20_000


class Authenticator(Protocol):
    """`cached` returns a principal without waiting, or None, so that most requests cost no task switch."""

    def cached(self, token: str) -> Principal | None: ...

    async def authenticate(self, token: str) -> Principal:
        """Raises UNAUTHENTICATED, or UNAVAILABLE if the token cannot be checked now."""
        ...


class VerifyKey(Protocol):
    def __call__(self, key_id: str, token_sha256: str, /) -> Awaitable[Principal]: ...


class FindAttempt(Protocol):
    def __call__(self, attempt_id: str, /) -> Awaitable[Principal]:
        """Raises UNAUTHENTICATED if there is no such attempt, or it ended too long ago."""


class TokenAuthenticator:
    """The authenticator of every service. A kind of token that it is not built for is refused.

    Service tokens are compared with `service_hashes` (name to SHA-256 of the token). Attempt tokens are checked by HMAC
    with `attempt_secret`, then by `find_attempt`. API keys are checked by `verify_key`.

    A key is cached for `key_cache_seconds`, an attempt for ATTEMPT_CACHE_SECONDS; a revoked key may be accepted for
    that long. While `verify_key` raises UNAVAILABLE, a key that was valid within the last `outage_grace_seconds` stays
    valid.
    """

    def __init__(
        self,
        *,
        service_hashes: Mapping[str, str] | None = None,
        attempt_secret: bytes = b"",
        find_attempt: FindAttempt | None = None,
        verify_key: VerifyKey | None = None,
        key_cache_seconds: float = 30.0,
        outage_grace_seconds: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if find_attempt is not None and not attempt_secret:
            raise ValueError("attempt tokens of an empty secret can be made by everybody")
        self._service_hashes = dict(service_hashes or {})
        self._attempt_secret = attempt_secret
        self._find_attempt = find_attempt
        self._verify_key = verify_key
        self._key_cache_seconds = key_cache_seconds
        self._outage_grace_seconds = outage_grace_seconds
        self._clock = clock
        self._known: OrderedDict[str, tuple[Principal, float]] = OrderedDict()
        self._asking: dict[str, asyncio.Task[Principal]] = {}
        self._forgets = 0

    def cached(self, token: str) -> Principal | None:
        found = self._known.get(token)
        if found is None or found[1] <= self._clock():
            return None
        return found[0]

    async def authenticate(self, token: str) -> Principal:
        known = self.cached(token)
        if known is not None:
            return known
        parsed = parse_token(token)
        if parsed.kind == "s":
            return self._remember(token, self._service(token, parsed.subject), float("inf"))
        if not is_ulid(parsed.subject):
            raise refused()
        if parsed.kind == "a":
            return await self._once(token, partial(self._attempt, token, f"att_{parsed.subject}"))
        return await self._once(token, partial(self._key, token, f"key_{parsed.subject}"))

    def forget(self, key_id: str) -> None:
        """Removes a revoked key from the cache at once."""
        # A check that is under way may have read the key before it was revoked.
        self._forgets += 1
        for token in [token for token, (principal, _) in self._known.items() if principal.id == key_id]:
            del self._known[token]

    def _service(self, token: str, name: str) -> Principal:
        expected = self._service_hashes.get(name)
        if expected is None or not same(expected, token_sha256(token)):
            raise refused()
        kind = PrincipalKind.WORKER if name == WORKER_SERVICE else PrincipalKind.SERVICE
        return Principal(kind, name, service=name)

    async def _once(self, token: str, ask: Callable[[], Coroutine[Any, Any, Principal]]) -> Principal:
        """One call for all requests that wait for the same token. Shielded, since the first may be cancelled."""
        task = self._asking.get(token)
        if task is None:
            task = asyncio.ensure_future(ask())
            self._asking[token] = task
            task.add_done_callback(lambda done: self._verified(token, done))
        return await asyncio.shield(task)

    def _verified(self, token: str, task: asyncio.Task[Principal]) -> None:
        self._asking.pop(token, None)
        if not task.cancelled():
            task.exception()  # retrieved here, since all requests that waited for it may have been cancelled

    async def _attempt(self, token: str, attempt_id: str) -> Principal:
        # The HMAC first: a forged token costs no look-up.
        if self._find_attempt is None or not same(attempt_token(attempt_id, self._attempt_secret), token):
            raise refused()
        principal = await self._find_attempt(attempt_id)
        return self._remember(token, principal, self._clock() + ATTEMPT_CACHE_SECONDS)

    async def _key(self, token: str, key_id: str) -> Principal:
        if self._verify_key is None:
            raise refused()
        forgets = self._forgets
        try:
            principal = await self._verify_key(key_id, token_sha256(token))
        except LeptonError as error:
            stale = self._known.get(token)
            if error.code is ErrorCode.UNAVAILABLE and stale and self._clock() < stale[1] + self._outage_grace_seconds:
                return stale[0]
            if error.code in (ErrorCode.UNAUTHENTICATED, ErrorCode.NOT_FOUND):
                self._known.pop(token, None)
                raise refused() from None
            raise
        if forgets != self._forgets:
            return principal
        return self._remember(token, principal, self._clock() + self._key_cache_seconds)

    def _remember(self, token: str, principal: Principal, until: float) -> Principal:
        self._known[token] = (principal, until)
        self._known.move_to_end(token)
        if len(self._known) > MAX_CACHED:
            self._known.popitem(last=False)
        return principal


async def identify(authenticator: Authenticator, authorization: str, acting: str) -> Principal:
    """The caller behind an Authorization header and, beside a service's token only, `x-lepton-acting`."""
    token = authorization[7:] if authorization[:7].lower() == "bearer " else ""
    if not token:
        raise refused()
    principal = authenticator.cached(token)
    if principal is None:
        principal = await authenticator.authenticate(token)
    if acting and principal.kind is PrincipalKind.SERVICE:
        return with_acting(principal, acting)
    return principal
