"""One writer with group commit on SQLite, retried transactions on PostgreSQL (PROTOCOLS, 11)."""

import asyncio
import resource
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError
from lepton_fixtures.databases import create_tables
from lepton_registry.database.engine import LOCKS, change_row, hold_lock, insert_new, open_database
from lepton_registry.events.store import CURSORS
from lepton_registry.refusal import RefusedToStart


def add(name):
    return lambda conn: conn.execute(sa.insert(LOCKS), {"name": name})


@contextmanager
def growing_no_more(file):
    """The kernel refuses to this process what goes beyond the file's present end. SQLite writes there at the commit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def names(database):
    return await database.read(lambda conn: list(conn.scalars(sa.select(LOCKS.c.name).order_by(LOCKS.c.name))))


async def test_a_write_that_fails_takes_nothing_else_with_it(database):
    def half(conn):
        add("half")(conn)
        raise ValueError("on purpose")

    results = await asyncio.gather(
        *[database.write(add(f"a{n}")) for n in range(5)],
        database.write(half),
        database.write(add("a0")),
        *[database.write(add(f"b{n}")) for n in range(5)],
        return_exceptions=True,
    )
    failed = [type(result) for result in results if isinstance(result, Exception)]
    assert sorted(kind.__name__ for kind in failed) == ["IntegrityError", "ValueError"]
    assert await names(database) == sorted([f"a{n}" for n in range(5)] + [f"b{n}" for n in range(5)])


async def test_many_waiting_writes_share_a_transaction_and_all_arrive(database):
    await asyncio.gather(*[database.write(add(f"{n:04}")) for n in range(500)])
    assert len(await names(database)) == 500


async def test_a_write_is_seen_by_every_later_read(database):
    for number in range(20):
        await database.write(add(f"{number:02}"))
        assert len(await names(database)) == number + 1


async def test_commits_wake_who_waits(database):
    seen = database.commits.count
    waiting = asyncio.create_task(database.commits.wait(seen, 10))
    await asyncio.sleep(0)
    await database.write(add("a"))
    assert await waiting > seen


async def test_a_text_with_a_zero_character_is_no_fault_of_ours(database):
    asked = database.read(lambda conn: conn.execute(sa.select(LOCKS).where(LOCKS.c.name == "a\0b")).first())
    (found,) = await asyncio.gather(asked, return_exceptions=True)
    # PostgreSQL cannot hold it; SQLite can.
    assert found is None or (isinstance(found, LeptonError) and found.code is ErrorCode.INVALID)


async def test_inserting_what_is_there_says_so(database):
    assert await database.write(lambda conn: insert_new(conn, LOCKS, {"name": "a"})) is True
    assert await database.write(lambda conn: insert_new(conn, LOCKS, {"name": "a"})) is False


async def test_a_counter_starts_with_its_first_change_and_goes_on(database):
    def add(conn, name, by):
        change = {"position": CURSORS.c.position + by}
        return change_row(conn, CURSORS, {"name": name}, {"position": 10}, change).position

    assert await database.write(lambda conn: add(conn, "a", 1)) == 11
    assert await database.write(lambda conn: add(conn, "a", 5)) == 16
    assert await database.write(lambda conn: add(conn, "b", 2)) == 12
    found = await asyncio.gather(*(database.write(lambda conn: add(conn, "c", 1)) for _ in range(20)))
    assert sorted(found) == list(range(11, 31))


async def test_who_holds_a_lock_row_is_alone(database):
    """Read, wait, write: without the lock, two would count from the same number."""
    inside, most = [], []

    def work(conn):
        hold_lock(conn, "room")
        inside.append(1)
        most.append(len(inside))
        threading.Event().wait(0.02)
        inside.pop()

    await asyncio.gather(*[database.write(work) for _ in range(6)])
    assert max(most) == 1


async def test_a_second_process_is_refused_on_sqlite(sqlite_url, monkeypatch):
    monkeypatch.setattr("lepton_registry.database.sqlite.LOCK_WAIT_SECONDS", 0.1)
    create_tables(sqlite_url)
    first = open_database(sqlite_url)
    with pytest.raises(RefusedToStart, match="another registry already uses this database"):
        open_database(sqlite_url)
    await first.close()
    await open_database(sqlite_url).close()


async def test_a_lock_held_by_somebody_else_is_waited_for_on_sqlite(sqlite_url):
    """A backup program, or somebody with a shell."""
    create_tables(sqlite_url)
    database = open_database(sqlite_url)
    other = sa.create_engine(sqlite_url).connect()
    other.exec_driver_sql("BEGIN IMMEDIATE")
    write = asyncio.create_task(database.write(add("a")))
    done, _ = await asyncio.wait([write], timeout=0.2)
    assert not done
    other.exec_driver_sql("COMMIT")
    other.close()
    await write
    assert await names(database) == ["a"]
    await database.close()


async def test_a_deadlock_is_tried_again_on_postgres(postgres_url):
    create_tables(postgres_url)
    database = open_database(postgres_url)
    for name in "ab":
        await database.write(add(name))
    meet = threading.Barrier(2)
    tries = []

    def lock_both(first, second):
        def work(conn):
            tries.append(first)
            hold_lock(conn, first)
            if tries.count(first) == 1:
                meet.wait(5)
            hold_lock(conn, second)
            return first

        return work

    answers = await asyncio.gather(database.write(lock_both("a", "b")), database.write(lock_both("b", "a")))
    assert answers == ["a", "b"]
    assert len(tries) == 3
    await database.close()


async def test_a_database_that_is_away_is_unavailable(tmp_path):
    database = open_database(f"postgresql+psycopg:///x?host={tmp_path}&user=postgres")
    with pytest.raises(LeptonError) as raised:
        await database.read(lambda conn: conn.execute(sa.text("SELECT 1")))
    assert raised.value.code is ErrorCode.UNAVAILABLE
    await database.close()


async def test_a_disk_that_is_full_at_the_commit_refuses_it_as_unavailable(sqlite_url):
    create_tables(sqlite_url)
    database = open_database(sqlite_url)
    await database.write(add("kept"))
    with growing_no_more(Path(f"{sa.make_url(sqlite_url).database}-wal")), pytest.raises(LeptonError) as refused:
        await database.write(add("refused"))
    assert refused.value.code is ErrorCode.UNAVAILABLE
    await database.write(add("again"))
    assert set(await names(database)) == {"kept", "again"}
    await database.close()


async def test_a_full_disk_refuses_writes_and_takes_them_again_when_there_is_room(sqlite_url):
    create_tables(sqlite_url)
    database = open_database(sqlite_url)
    await database.write(add("kept"))

    def limit(pages):
        # What a full disk looks like to SQLite.
        return lambda conn: conn.exec_driver_sql(f"PRAGMA max_page_count={pages}").scalar()

    await database.write(limit(await database.write(limit(1))))
    big = [f"{number}-{'x' * 4000}" for number in range(20)]
    results = await asyncio.gather(*[database.write(add(name)) for name in big], return_exceptions=True)
    assert any(isinstance(result, LeptonError) and result.code is ErrorCode.UNAVAILABLE for result in results)
    told = [name for name, result in zip(big, results, strict=True) if not isinstance(result, Exception)]
    assert set(await names(database)) == {"kept", *told}
    await database.write(limit(2**30))
    await database.write(add("again"))
    assert "again" in await names(database)
    await database.close()
