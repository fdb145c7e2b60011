"""Checks the user's own servers before the platform starts, so that a wrong URL or password is reported at once.

A server that is down is only reported, since all components wait for it. An error that waiting cannot solve is raised.
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


def check_external_services(settings: LocalSettings, say: Callable[[str], None]) -> None:
    """Raises INVALID for a malformed URL, FAILED_PRECONDITION if the server refuses the login."""
    if settings.broker_url:
        _check_queue(settings.broker_url, say)
    if settings.object_store.endpoint:
        _check_store(settings, say)


def _check_queue(url: str, say: Callable[[str], None]) -> None:
    try:
        client = redis.Redis.from_url(
            url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS, retry=Retry(NoBackoff(), 0)
        )
    except ValueError as error:
        # Without the URL itself, which contains a password.
        raise invalid(_QUEUE, f"is not the URL of a queue server: {error}", allowed="redis://… or rediss://…") from None
    with client:
        try:
            client.ping()
        except redis.AuthenticationError as error:
            raise _refused(str(error)) from None
        except (redis.ConnectionError, redis.TimeoutError) as error:
            say(f"{_QUEUE}: waiting for the queue server, which does not answer: {error}")
        except redis.RedisError as error:
            raise _refused(str(error)) from None


def _check_store(settings: LocalSettings, say: Callable[[str], None]) -> None:
    config = settings.object_store
    try:
        store = ObjectStore(
            config.endpoint,
            config.access_key,
            config.secret_key,
            bucket=config.bucket,
            region=config.region,
            public_url=config.public_url,
        )
        store.ensure_bucket()
    except LeptonError as error:
        if error.code is ErrorCode.UNAVAILABLE:
            say(f"{_STORE}: waiting for the object store, which cannot be used yet: {error.detail}")
            return
        raise LeptonError(error.code, f"{_STORE}: {error.detail}", error.fields) from None


def _refused(reason: str) -> LeptonError:
    return LeptonError(ErrorCode.FAILED_PRECONDITION, f"{_QUEUE}: the queue server refuses the login: {reason}")
