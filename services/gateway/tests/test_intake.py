"""The queue door with a real queue server: what waits, what is refused, and what its streams may hold at most."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest
from celery import Celery, signature
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from lepton_core.grpc.client import open_channel
from lepton_core.identity import new_service_token
from lepton_core.queue import SUBMIT_TASK, reply_stream
from lepton_fixtures.processes import free_port
from lepton_fixtures.servers import ValkeyServer
from lepton_gateway.catalogue import Catalogue
from lepton_gateway.intake import replies, stream
from lepton_gateway.intake.messages import Message, MessageSubmitter
from lepton_gateway.intake.stream import GROUP, StreamIntake
from lepton_gateway.intake.task import TaskIntake
from lepton_gateway.projects import ProjectNames
from lepton_gateway.registry import Registry
from lepton_gateway.settings import Binding
from lepton_gateway.submit import Submission, Submitter

BINDING = Binding()
REPLIES = reply_stream(BINDING.principal)
JOB = {"name": "x", "recipe": "tabular", "data": "table"}


@pytest.fixture
async def redis(valkey: ValkeyServer) -> AsyncIterator[Redis]:
    client = Redis.from_url(valkey.url)
    yield client
    await client.aclose()


@pytest.fixture
async def submitter() -> AsyncIterator[MessageSubmitter]:
    """Its registry is away: nobody listens at that port."""
    channel = open_channel(f"127.0.0.1:{free_port()}", new_service_token("gateway"))
    registry = Registry(channel)
    submitter = Submitter(registry, Catalogue(registry), beyond_loopback=False)
    yield MessageSubmitter(submitter, ProjectNames(registry), BINDING)
    await channel.close()


@contextlib.asynccontextmanager
async def reading(intake: StreamIntake | TaskIntake) -> AsyncIterator[None]:
    task = asyncio.create_task(intake.run())
    yield
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.fixture
async def door(redis: Redis, submitter: MessageSubmitter) -> AsyncIterator[None]:
    """Reads the stream."""
    async with reading(StreamIntake(redis, submitter, BINDING, consumer="one")):
        yield


@pytest.fixture
async def task_door(redis: Redis, submitter: MessageSubmitter) -> AsyncIterator[None]:
    """Reads the Celery queue."""
    async with reading(TaskIntake(redis, submitter, BINDING, consumer="one")):
        yield


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


async def last(redis: Redis, name: str) -> dict[str, str]:
    await until(lambda: redis.exists(name))
    [(_, fields)] = await redis.xrevrange(name, count=1)
    return {key.decode(): value.decode(errors="replace") for key, value in fields.items()}


def celery_for(valkey: ValkeyServer, **transport: object) -> Celery:
    app = Celery(broker=valkey.url)
    app.conf.broker_transport_options = transport
    return app


@pytest.mark.parametrize(
    "transport",
    [{}, {"priority_steps": list(range(10))}, {"priority_steps": list(range(10)), "sep": ":"}],
    ids=["default", "ten steps", "separator of the documentation"],
)
async def test_every_priority_of_a_celery_producer_is_read(
    redis: Redis, valkey: ValkeyServer, task_door: None, transport: dict[str, object]
) -> None:
    app = celery_for(valkey, **transport)
    for priority in range(10):
        body = {"message_id": f"m{priority}", "jop": {}}
        await asyncio.to_thread(app.send_task, SUBMIT_TASK, [body], queue=BINDING.celery_queue, priority=priority)

    async def all_answered() -> bool:
        return await redis.xlen(REPLIES) == 10

    await until(all_answered)
    assert not [key async for key in redis.scan_iter(f"{BINDING.celery_queue}*")]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"countdown": 3600}, "eta"),
        ({"eta": datetime(2040, 1, 1, tzinfo=UTC)}, "eta"),
        ({"link": signature("mail")}, "link"),
        ({"link_error": signature("mail")}, "link_error"),
        ({"chain": [signature("next")]}, "chain"),
        ({"time_limit": 60}, "time_limit"),
        ({"compression": "gzip"}, "compression"),
    ],
)
async def test_options_of_celery_without_effect_are_refused_by_name(
    redis: Redis, valkey: ValkeyServer, task_door: None, options: dict[str, object], field: str
) -> None:
    """As a Celery client really writes them. What is compressed is not unpacked, so only the call's own id is known."""
    app = celery_for(valkey)
    body = {"message_id": "m", "job": JOB}
    call = functools.partial(app.send_task, SUBMIT_TASK, [body], queue=BINDING.celery_queue, **options)
    sent = await asyncio.to_thread(call)
    for name in (REPLIES, BINDING.dead_letters):
        fields = await last(redis, name)
        wrong = json.loads(fields["error"])["errors"][0]
        assert (wrong["field"], wrong["field_path"]) == (field, [field])
        assert fields["task_id"] == sent.id
        assert fields["message_id"] == ("" if field == "compression" else "m")
        assert fields["entry_id"]


async def test_a_refusal_names_the_entry_where_no_message_was_found(redis: Redis, door: None) -> None:
    entry = await redis.xadd(BINDING.stream, {"body": b"\xff no JSON"})
    for name in (REPLIES, BINDING.dead_letters):
        fields = await last(redis, name)
        assert (fields["message_id"], fields["entry_id"]) == ("", entry.decode())


class Faulty(MessageSubmitter):
    """Stands for a fault that we do not know yet: there must be none that a message can reach."""

    async def submit(self, message: Message) -> Submission:
        raise RuntimeError(message.message_id)


async def test_a_message_that_meets_a_fault_each_time_is_set_aside_with_the_reason(
    redis: Redis, submitter: MessageSubmitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(stream, "BLOCK_MILLISECONDS", 20)
    submitter.__class__ = Faulty
    await redis.xadd(BINDING.stream, {"body": json.dumps({"message_id": "poison", "job": JOB})})
    async with reading(StreamIntake(redis, submitter, BINDING, consumer="one")):
        reply, letter = await last(redis, REPLIES), await last(redis, BINDING.dead_letters)
    assert (reply["message_id"], reply["status"]) == ("poison", "refused")
    assert f"given up after {stream.TRIES} tries" in json.loads(letter["error"])["detail"]
    assert await redis.xlen(BINDING.stream) == 0


async def test_entries_that_a_producer_trims_away_are_reported(
    redis: Redis, door: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "BLOCK_MILLISECONDS", 50)
    await redis.xadd(BINDING.stream, {"body": json.dumps({"message_id": "first", "jop": {}})})
    await last(redis, REPLIES)
    async with redis.pipeline(transaction=True) as pipe:
        for number in range(5):
            pipe.xadd(BINDING.stream, {"body": json.dumps({"message_id": f"lost{number}", "jop": {}})})
        pipe.xadd(BINDING.stream, {"body": json.dumps({"message_id": "trims", "jop": {}})}, maxlen=0, approximate=False)
        await pipe.execute()

    async def reported() -> bool:
        return "deleted from the stream" in (await last(redis, BINDING.dead_letters))["error"]

    await until(reported)
    assert json.loads((await last(redis, BINDING.dead_letters))["error"])["detail"].startswith("6 entries")
    before = await redis.xlen(BINDING.dead_letters)
    await redis.xadd(BINDING.stream, {"body": json.dumps({"message_id": "next", "jop": {}})})
    await until(functools.partial(_has, redis, before + 1))
    assert "deleted" not in (await last(redis, BINDING.dead_letters))["error"], "said once"


async def _has(redis: Redis, letters: int) -> bool:
    return await redis.xlen(BINDING.dead_letters) >= letters


async def test_a_queue_server_whose_memory_is_full_refuses_producers_and_is_emptied_by_the_door(
    redis: Redis, submitter: MessageSubmitter
) -> None:
    await redis.config_set("maxmemory", "8mb")
    sent = 0

    async def fill() -> None:
        nonlocal sent
        while sent < 100:
            await redis.xadd(BINDING.stream, {"body": json.dumps({"message_id": f"m{sent}", "jop": "x" * 200_000})})
            sent += 1

    with pytest.raises(OutOfMemoryError):
        await fill()
    async with reading(StreamIntake(redis, submitter, BINDING, consumer="one")):

        async def empty() -> bool:
            return await redis.xlen(BINDING.stream) == 0

        await until(empty)
    assert await redis.xlen(REPLIES) == sent
