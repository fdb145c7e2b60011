"""Hints and the event stream on a real queue server (PROTOCOLS, 2)."""

import asyncio
import json

import pytest
import redis.asyncio as redis

from lepton_core.queue import EVENT_STREAM, WAKE_TASK, WAKEUP_QUEUE, build_celery
from lepton_registry.database.leadership import Leadership
from lepton_registry.events import outbox, store
from lepton_registry.events.relay import Relay
from lepton_registry.events.sinks import Stream, WakeupSink
from lepton_registry.scheduling.sweeper import Sweeper
from lepton_registry.wakeups import Waker


async def until(condition, seconds=15):
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what is waited for lies in the queue server
            await asyncio.sleep(0.02)


@pytest.fixture
async def queue(valkey):
    client = redis.Redis.from_url(valkey.url)
    yield client
    await client.aclose()


@pytest.fixture
async def relayed(scene, valkey, queue):
    """The scene, with relay and sweeper at work."""
    leadership = Leadership(scene.database, alone=True)
    await leadership.try_to_lead()
    waker = Waker(build_celery(valkey.url), queue)
    relay = Relay(scene.database, leadership, [WakeupSink(waker.wake), Stream(queue)])
    sweeper = Sweeper(scene.database, leadership, waker.wake, beat_seconds=0.05)
    tasks = [asyncio.create_task(relay.run()), asyncio.create_task(sweeper.run())]
    scene.sweeper = sweeper

    async def all_delivered():
        """Every event is numbered, and the reader that makes hints has had it."""
        if await scene.database.read(store.has_unnumbered):
            return False
        numbered = await scene.database.read(lambda conn: store.position(conn, store.NUMBERED))
        return await scene.database.read(lambda conn: store.position(conn, "hints")) == numbered

    scene.all_delivered = all_delivered
    yield scene
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_many_queued_runs_leave_one_hint_in_the_queue(relayed, queue):
    """Nobody consumes: the queue must not fill."""
    for _ in range(30):
        await relayed.submit()

    async def hinted():
        return await queue.llen(WAKEUP_QUEUE) >= 1

    await until(hinted)
    await until(relayed.all_delivered)
    for _ in range(10):
        await relayed.sweeper.beat()
    assert await queue.llen(WAKEUP_QUEUE) == 1
    message = json.loads((await queue.lrange(WAKEUP_QUEUE, 0, 0))[0])
    assert message["headers"]["task"] == WAKE_TASK
    assert message["content-type"] == "application/json"


async def test_a_hint_that_an_unsuitable_worker_ate_is_given_again(relayed, queue):
    await relayed.submit()
    for _ in range(3):
        assert await queue.brpop(WAKEUP_QUEUE, timeout=10) is not None


async def test_after_flushall_queued_runs_are_hinted_again(relayed, queue, valkey):
    await relayed.submit()

    async def hinted():
        return await queue.llen(WAKEUP_QUEUE) == 1

    await until(hinted)
    valkey.command("FLUSHALL")
    await until(hinted)


async def test_no_hint_without_a_queued_run(relayed, queue):
    run = await relayed.submit()
    claimed = await relayed.claim(await relayed.worker())
    assert claimed.run.id == run.id
    await until(relayed.all_delivered)
    await queue.delete(WAKEUP_QUEUE)
    for _ in range(5):
        await relayed.sweeper.beat()
    assert await queue.llen(WAKEUP_QUEUE) == 0


async def test_events_are_cloudevents_in_the_stream_in_order(relayed, queue):
    run = await relayed.submit(name="digits")

    async def there():
        return await queue.xlen(EVENT_STREAM) >= 2

    await until(there)
    entries = [fields for _, fields in await queue.xrange(EVENT_STREAM)]
    assert [int(fields[b"position"]) for fields in entries] == list(range(1, len(entries) + 1))
    event = json.loads(entries[-1][b"event"])
    assert (event["specversion"], event["type"], event["subject"]) == ("1.0", "dev.lepton.run.queued.v1", run.id)
    assert event["data"]["name"] == "digits"
    assert event["time"].endswith("Z")


async def test_the_stream_of_events_is_capped_and_keeps_the_newest(relayed, queue, monkeypatch):
    """Nobody reads it: it must not fill the queue server. The server trims by whole blocks of a hundred or so."""
    monkeypatch.setattr("lepton_registry.events.sinks.MAX_STREAM_LENGTH", 10)

    def many(conn):
        for number in range(600):
            outbox.write(conn, "prj_a", "run.queued", f"run_{number}", {})

    await relayed.database.write(many)

    async def newest_is_there():
        [(_, fields)] = await queue.xrevrange(EVENT_STREAM, count=1) or [(b"", {b"event": b"{}"})]
        return json.loads(fields[b"event"]).get("subject") == "run_599"

    await until(newest_is_there)
    assert await queue.xlen(EVENT_STREAM) < 300


async def test_a_queue_server_that_is_away_stops_nothing_and_gets_all_later(scene, start_valkey):
    valkey = start_valkey()
    client = redis.Redis.from_url(valkey.url, socket_connect_timeout=1, socket_timeout=1)
    leadership = Leadership(scene.database, alone=True)
    await leadership.try_to_lead()
    waker = Waker(build_celery(valkey.url), client)
    relaying = asyncio.create_task(Relay(scene.database, leadership, [WakeupSink(waker.wake), Stream(client)]).run())
    await asyncio.to_thread(valkey.kill)
    runs = [(await scene.submit()).id for _ in range(3)]
    assert (await scene.claim(await scene.worker())).run.id == runs[0]
    await asyncio.to_thread(valkey.start)

    async def all_there():
        try:
            subjects = {json.loads(f[b"event"])["subject"] for _, f in await client.xrange(EVENT_STREAM)}
        except redis.ConnectionError:
            return False
        return set(runs) <= subjects

    await until(all_there, 30)
    relaying.cancel()
    await client.aclose()
