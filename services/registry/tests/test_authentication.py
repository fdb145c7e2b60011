"""Whose calls the registry accepts, by the authenticator that serves."""

import pytest
import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity import (
    Principal,
    PrincipalKind,
    TokenAuthenticator,
    attempt_token,
    new_api_key,
    new_service_token,
    token_sha256,
)
from lepton_core.ids import new_id
from lepton_registry.authentication import build_authenticator
from lepton_registry.database.engine import now_us, table
from lepton_registry.runs import attempts
from lepton_registry.runs.tables import AttemptRow

SECRET = b"s" * 32
GATEWAY = new_service_token("gateway")
RUN_ATTEMPTS = table(AttemptRow)
DAY_US = 24 * 3600 * 1_000_000


def authenticator_of(scene) -> TokenAuthenticator:
    return build_authenticator(scene.database, {"gateway": token_sha256(GATEWAY)}, SECRET, attempts)


async def refuses(authenticator: TokenAuthenticator, token: str) -> None:
    with pytest.raises(LeptonError) as caught:
        await authenticator.authenticate(token)
    assert caught.value.code is ErrorCode.UNAUTHENTICATED


async def end(scene, attempt_id: str, finished_at_us: int) -> None:
    change = sa.update(RUN_ATTEMPTS).where(RUN_ATTEMPTS.c.id == attempt_id).values(finished_at_us=finished_at_us)
    await scene.database.write(lambda conn: conn.execute(change))


async def test_services_and_attempts_come_in_and_keys_do_not(scene):
    authenticator = authenticator_of(scene)
    attempt = await scene.started(await scene.worker())
    assert (await authenticator.authenticate(GATEWAY)).service == "gateway"
    found = await authenticator.authenticate(attempt_token(attempt.id, SECRET))
    assert found == Principal(
        PrincipalKind.ATTEMPT, attempt.id, project=scene.project, attempt_id=attempt.id, worker_id=attempt.worker_id
    )
    for token in (
        new_service_token("gateway"),
        attempt_token(attempt.id, b"another secret"),
        attempt_token(new_id("att"), SECRET),
        new_api_key(new_id("key")),
    ):
        await refuses(authenticator, token)


async def test_a_token_outlives_its_attempt_by_a_day(scene):
    attempt = await scene.started(await scene.worker())
    token = attempt_token(attempt.id, SECRET)
    await end(scene, attempt.id, now_us() - DAY_US + 60_000_000)
    assert (await authenticator_of(scene).authenticate(token)).attempt_id == attempt.id
    await end(scene, attempt.id, now_us() - DAY_US - 1)
    await refuses(authenticator_of(scene), token)
