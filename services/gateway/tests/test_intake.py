"""The stream door with a real queue server: what waits for better times, and what its streams may hold at most."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable

import pytest
from redis.asyncio import Redis

from lepton_core.grpc.client import open_channel
from lepton_core.identity import new_service_token
from lepton_core.queue import reply_stream
from lepton_fixtures.processes import free_port
from lepton_fixtures.servers import ValkeyServer
from lepton_gateway.catalogue import Catalogue
from lepton_gateway.intake import replies, stream
from lepton_gateway.intake.messages import MessageSubmitter
from lepton_gateway.intake.stream import GROUP, StreamIntake
from lepton_gateway.projects import ProjectNames
from lepton_gateway.registry import Registry
from lepton_gateway.settings import Binding
from lepton_gateway.submit import Submitter

BINDING = Binding()
REPLIES = reply_stream(BINDING.principal)
JOB = {"name": "x", "recipe": "tabular", "data": "table"}


@pytest.fixture
async def redis(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    client = Redis.from_url(valkey.url)
    yield client
    await client.aclose()


@pytest.fixture
async def door(redis: Redis) -> AsyncIterator[None]:
    """Reads the stream. Its registry is away: nobody listens at that port."""
    channel = open_channel(f"127.0.0.1:{free_port()}", new_service_token("gateway"))
    registry = Registry(channel)
    submitter = Submitter(registry, Catalogue(registry), beyond_loopback=False)
    intake = StreamIntake(redis, MessageSubmitter(submitter, ProjectNames(registry), BINDING), BINDING, consumer="one")
    reading = asyncio.create_task(intake.run())
    yield
    reading.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await reading
    await channel.close()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # type: ignore[misc]  # noqa: ASYNC110 - what is waited for lies in the server
            await asyncio.sleep(0.02)


async def test_while_the_registry_is_away_a_message_waits_and_is_no_dead_letter(
    redis: Redis, door: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "RETRY_SECONDS", 0.05)
    await redis.xadd(BINDING.stream, {"body": json.dumps({"message_id": "m", "job": JOB})})

    async def tried_often() -> bool:
        with contextlib.suppress(Exception):
            [pending] = await redis.xpending_range(BINDING.stream, GROUP, "-", "+", 10)
            return int(pending["times_delivered"]) >= 3
        return False

    await until(tried_often)
    assert await redis.xlen(BINDING.stream) == 1, "nobody has answered, so it is not acknowledged"
    assert await redis.exists(BINDING.dead_letters, REPLIES) == 0


async def test_replies_and_dead_letters_are_capped_and_the_door_forgets_what_it_answered(
    redis: Redis, door: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a producer that sends nonsense for ever. The server trims by whole blocks of a hundred or so."""
    monkeypatch.setattr(replies, "REPLIES_KEPT", 10)
    monkeypatch.setattr(replies, "DEAD_LETTERS_KEPT", 10)
    for number in range(600):
        await redis.xadd(BINDING.stream, {"body": json.dumps({"message_id": f"m{number}", "jop": {}})})

    async def all_answered() -> bool:
        return await redis.xlen(BINDING.stream) == 0

    await until(all_answered)
    for name in (REPLIES, BINDING.dead_letters):
        assert 10 <= await redis.xlen(name) < 300
    [(_, last)] = await redis.xrevrange(REPLIES, count=1)
    assert (last[b"message_id"], last[b"status"]) == (b"m599", b"refused")
    assert (await redis.xpending(BINDING.stream, GROUP))["pending"] == 0


async def test_what_came_before_the_group_is_read_too(redis: Redis, valkey: ValkeyServer, door: None) -> None:
    """The queue server lost everything, and a producer was faster than the door."""

    async def open_() -> bool:
        return bool(await redis.exists(BINDING.stream)) and bool(await redis.xinfo_groups(BINDING.stream))

    await until(open_)
    async with redis.pipeline(transaction=True) as pipe:
        pipe.flushall()
        pipe.xadd(BINDING.stream, {"body": json.dumps({"message_id": "before", "jop": {}})})
        await pipe.execute()

    async def answered() -> bool:
        return await redis.xlen(REPLIES) == 1

    await until(answered)
