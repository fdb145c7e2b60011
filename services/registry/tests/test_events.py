"""Events and their numbers (PROTOCOLS, 2)."""

import asyncio
import threading
from itertools import permutations

import pytest
import sqlalchemy as sa

from lepton_fixtures.databases import create_tables
from lepton_registry.database import leadership
from lepton_registry.database.engine import open_database
from lepton_registry.database.leadership import Leadership, NotLeader
from lepton_registry.events import outbox, store
from lepton_registry.events.feed import Feed
from lepton_registry.events.relay import Relay
from lepton_registry.events.retention import drop_old


def told(subject, kind="run.queued"):
    return lambda conn: outbox.write(conn, "prj_a", kind, subject, {})


async def lead(database):
    leadership = Leadership(database, alone=True)
    assert await leadership.try_to_lead()
    return leadership


async def listed(database, after=0, **more):
    options = {"subject": "", "limit": 1000} | more
    rows = await database.read(lambda conn: store.list_events(conn, "prj_a", after=after, **options))
    return [(row.position, row.subject) for row in rows]


async def until(condition, seconds=10):
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what is waited for lies in the database
            await asyncio.sleep(0.01)


async def test_events_are_readable_once_they_are_numbered(database):
    leadership = await lead(database)
    await database.write(told("run_1"))
    assert await listed(database) == []
    assert len(await database.write(lambda conn: store.number(conn, leadership.term))) == 1
    assert await listed(database) == [(1, "run_1")]


class Held:
    """A transaction that has inserted its event, and commits when it is told to."""

    def __init__(self, database, subject):
        self._inserted, self._may_commit = threading.Event(), threading.Event()

        def work(conn):
            told(subject)(conn)
            self._inserted.set()
            self._may_commit.wait(10)

        self._writing = asyncio.create_task(database.write(work))

    async def inserted(self):
        assert await asyncio.to_thread(self._inserted.wait, 10)

    async def commit(self):
        self._may_commit.set()
        await self._writing


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
async def test_positions_follow_the_order_of_commits_and_not_of_inserts(postgres_url, order):
    """Three transactions insert one after the other and commit in any order. A reader that follows sees each once."""
    create_tables(postgres_url)
    database = open_database(postgres_url)
    leadership = await lead(database)
    transactions = []
    for number in range(3):
        transactions.append(Held(database, f"run_{number}"))
        await transactions[-1].inserted()
    read = []
    for number in order:
        await transactions[number].commit()
        await database.write(lambda conn: store.number(conn, leadership.term))
        read += await listed(database, after=read[-1][0] if read else 0)
    assert read == [(position, f"run_{number}") for position, number in enumerate(order, 1)]
    await database.close()


async def test_the_events_of_one_entity_keep_their_order(database):
    leadership = await lead(database)
    for number in range(50):
        await database.write(told("run_1", f"run.step{number}"))
    await database.write(lambda conn: store.number(conn, leadership.term))
    rows = await database.read(lambda conn: store.after(conn, 0))
    assert [row.type for row in rows] == [f"dev.lepton.run.step{number}.v1" for number in range(50)]
    assert [row.position for row in rows] == list(range(1, 51))


async def test_events_of_a_subject_and_of_another_project(database):
    leadership = await lead(database)
    await database.write(told("run_1"))
    await database.write(told("run_2"))
    await database.write(lambda conn: outbox.write(conn, "prj_b", "run.queued", "run_3", {}))
    await database.write(lambda conn: store.number(conn, leadership.term))
    assert [subject for _, subject in await listed(database)] == ["run_1", "run_2"]
    assert [subject for _, subject in await listed(database, subject="run_2")] == ["run_2"]
    assert await listed(database, subject="run_3") == []


async def test_a_leader_whose_term_is_over_changes_nothing(database):
    """It was paused; another one took over."""
    paused = await lead(database)
    await database.write(told("run_1"))
    other = await lead(database)
    assert other.term == paused.term + 1
    with pytest.raises(NotLeader):
        await database.write(lambda conn: store.number(conn, paused.term))
    assert await listed(database) == []
    await database.write(lambda conn: store.number(conn, other.term))
    assert await listed(database) == [(1, "run_1")]


async def test_a_rival_waits_until_the_leaders_beat_stands_still(database):
    leading = await lead(database)
    rival = Leadership(database, alone=False, takeover_seconds=0.3)
    for _ in range(10):
        assert await rival.try_to_lead() is False
        await database.write(lambda conn: leadership.check(conn, leading.term))
        await asyncio.sleep(0.05)
    await until(rival.try_to_lead)
    assert rival.term == leading.term + 1


async def test_who_resigns_leaves_an_empty_chair(database):
    leading = await lead(database)
    rival = Leadership(database, alone=False, takeover_seconds=1000)
    assert await rival.try_to_lead() is False
    await leading.resign()
    assert await rival.try_to_lead() is True


async def test_only_one_of_many_takes_the_chair(database):
    rivals = [Leadership(database, alone=True) for _ in range(6)]
    assert (await database.read(leadership.read_lock)).term == 0
    took = await asyncio.gather(*[database.write(lambda conn: leadership.take(conn, "me", 0, 0)) for _ in rivals])
    assert [term for term in took if term is not None] == [1]


class Collecting:
    def __init__(self, name, fails=0):
        self.name, self.fails, self.got = name, fails, []

    async def deliver(self, events):
        if self.fails:
            self.fails -= 1
            raise ConnectionError("away")
        self.got += [event.subject for event in events]


async def test_one_reader_that_is_away_holds_up_no_other(database, monkeypatch):
    monkeypatch.setattr("lepton_registry.events.relay.POLL_SECONDS", 0.02)
    leadership = await lead(database)
    dead, alive = Collecting("dead", fails=10**9), Collecting("alive")
    relaying = asyncio.create_task(Relay(database, leadership, [dead, alive]).run())
    for number in range(5):
        await database.write(told(f"run_{number}"))

    async def delivered():
        return len(alive.got) == 5

    await until(delivered)
    assert dead.got == []
    dead.fails = 0

    async def caught_up():
        return dead.got == alive.got == [f"run_{number}" for number in range(5)]

    await until(caught_up, 20)
    relaying.cancel()


async def test_a_new_relay_goes_on_where_the_last_one_ended(database, monkeypatch):
    monkeypatch.setattr("lepton_registry.events.relay.POLL_SECONDS", 0.02)
    sink = Collecting("sink")
    for number in range(3):
        relaying = asyncio.create_task(Relay(database, await lead(database), [sink]).run())
        await database.write(told(f"run_{number}"))

        async def moved(expected=number + 1):
            return await database.read(lambda conn: store.position(conn, "sink")) == expected

        await until(moved)
        relaying.cancel()
    assert sink.got == ["run_0", "run_1", "run_2"]


async def test_a_watch_is_woken_by_its_own_subject(database):
    leadership = await lead(database)
    feed = Feed(database)
    tasks = [asyncio.create_task(feed.run()), asyncio.create_task(Relay(database, leadership, []).run())]
    with feed.watch("run_1") as mine, feed.watch("run_2") as other:
        for watch in (mine, other):
            assert await watch.wait(10)  # once, in case something happened before the feed looked
        await database.write(told("run_1"))
        assert await mine.wait(10)
        assert not await other.wait(0.01)
        await database.write(told("run_2"))
        assert await other.wait(10)
    for task in tasks:
        task.cancel()


async def test_a_change_that_is_rolled_back_leaves_no_event(database):
    def fails(conn):
        told("run_1")(conn)
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        await database.write(fails)
    assert await database.read(lambda conn: conn.execute(sa.text("SELECT count(*) FROM events")).scalar()) == 0


async def test_old_events_go_once_every_reader_has_had_them(database):
    leadership = await lead(database)
    for number in range(4):
        await database.write(told(f"run_{number}"))
    await database.write(lambda conn: store.number(conn, leadership.term))
    await database.write(lambda conn: store.move_cursor(conn, "stream", 2))

    def drop(before_us):
        return database.write(lambda conn: drop_old(conn, leadership.term, before_us))

    assert await drop(1) == 0
    assert await drop(2**62) == 2
    assert await listed(database) == [(3, "run_2"), (4, "run_3")]
    await database.write(lambda conn: store.move_cursor(conn, "stream", 4))
    assert await drop(2**62) == 2
    # Numbers are never given again.
    await database.write(told("run_9"))
    await database.write(lambda conn: store.number(conn, leadership.term))
    assert await listed(database) == [(5, "run_9")]


async def test_a_reader_that_never_comes_back_keeps_events_only_up_to_the_cut_off(database):
    leadership = await lead(database)
    for number in range(3):
        await database.write(told(f"run_{number}"))
    await database.write(lambda conn: store.number(conn, leadership.term))
    await database.write(lambda conn: store.move_cursor(conn, "gone", 1))

    def drop(cut_off_us):
        return database.write(lambda conn: drop_old(conn, leadership.term, 2**62, cut_off_us))

    assert await drop(1) == 1
    assert await drop(2**62) == 2
    assert await listed(database) == []
