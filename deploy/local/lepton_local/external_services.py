"""Servers of the user's own, looked at before the platform starts: a wrong URL or password should be told at once.

What may mend itself (a server that is down) is said and no more, since all parts wait for it. What waiting cannot mend
is refused.
"""

from collections.abc import Callable

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.objects.store import ObjectStore
from lepton_local.settings import SETTINGS_PREFIX, LocalSettings

ANSWER_SECONDS = 3.0
_QUEUE = f"{SETTINGS_PREFIX}_BROKER_URL"
_STORE = f"{SETTINGS_PREFIX}_OBJECT_STORE"


def look_at_given(settings: LocalSettings, say: Callable[[str], None]) -> None:
    """Raises INVALID for a URL that is none, FAILED_PRECONDITION where the server refuses who asks."""
    if settings.broker_url:
        _queue(settings.broker_url, say)
    if settings.object_store.endpoint:
        _store(settings, say)


def _queue(url: str, say: Callable[[str], None]) -> None:
    try:
        client = redis.Redis.from_url(
            url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS, retry=Retry(NoBackoff(), 0)
        )
    except ValueError as error:
        # Not the URL itself: its password would stand in the terminal.
        raise invalid(_QUEUE, f"not the URL of a queue server: {error}", allowed="redis://… or rediss://…") from None
    with client:
        try:
            client.ping()
        except redis.AuthenticationError as error:
            raise _refused(str(error)) from None
        except (redis.ConnectionError, redis.TimeoutError) as error:
            say(f"{_QUEUE}: the queue server does not answer, and is waited for: {error}")
        except redis.RedisError as error:
            raise _refused(str(error)) from None


def _store(settings: LocalSettings, say: Callable[[str], None]) -> None:
    given = settings.object_store
    try:
        store = ObjectStore(
            given.endpoint,
            given.access_key,
            given.secret_key,
            bucket=given.bucket,
            region=given.region,
            public_url=given.public_url,
        )
        store.ensure_bucket()
    except LeptonError as error:
        if error.code is ErrorCode.UNAVAILABLE:
            say(f"{_STORE}: cannot be used yet, and is waited for: {error.detail}")
            return
        raise LeptonError(error.code, f"{_STORE}: {error.detail}", error.fields) from None


def _refused(why: str) -> LeptonError:
    return LeptonError(ErrorCode.FAILED_PRECONDITION, f"{_QUEUE}: the queue server refuses: {why}")
