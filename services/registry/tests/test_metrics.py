"""Metrics: by offset, and each earlier attempt only up to where it was resumed (PROTOCOLS, 6)."""

import asyncio

import pytest
import sqlalchemy as sa
from alembic import command

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.journal import encode_record
from lepton_registry.metrics import store
from lepton_registry.metrics.records import check_file, parse_points
from lepton_registry.migrations.upgrade import configuration, upgrade


def journal(*steps, key="loss"):
    return b"".join(encode_record({"s": step, "t": 1, "k": {key: float(step)}}) for step in steps)


async def append(scene, attempt_id, data, offset=0, rank=0, whole=False):
    points = parse_points(data, offset)
    file = f"metrics-rank{rank}.jsonl"
    appended = await scene.database.write(
        lambda conn: store.append(conn, attempt_id, rank=rank, file=file, offset=offset, size=len(data), points=points)
    )
    return appended if whole else appended.committed_offset


async def seen(scene, run_id, **more):
    options = {"keys": [], "after": 0, "limit": 1000} | more
    rows, _ = await scene.database.read(lambda conn: store.query(conn, scene.project, run_id, **options))
    return [row.step for row in rows]


async def test_resending_is_harmless_and_gaps_are_not_taken(scene):
    attempt = await scene.started(await scene.worker())
    first, second = journal(1, 2), journal(3)
    assert await append(scene, attempt.id, second, offset=len(first)) == 0
    assert await append(scene, attempt.id, first) == len(first)
    assert await append(scene, attempt.id, first) == len(first)
    # Overlapping: the answer got lost, and meanwhile more was written.
    assert await append(scene, attempt.id, first + second) == len(first + second)
    assert await seen(scene, attempt.run_id) == [1, 2, 3]


async def test_the_same_chunk_many_times_at_once(scene):
    attempt = await scene.started(await scene.worker())
    data = journal(*range(50))
    offsets = await asyncio.gather(*[append(scene, attempt.id, data) for _ in range(8)])
    assert set(offsets) == {len(data)}
    assert await seen(scene, attempt.run_id) == list(range(50))


async def test_ranks_append_side_by_side_and_a_reader_misses_nothing(scene):
    attempt = await scene.started(await scene.worker())
    read, done = [], asyncio.Event()

    async def write(rank):
        offset = 0
        for step in range(20):
            data = journal(step)
            offset = await append(scene, attempt.id, data, offset, rank)

    async def page(after):
        return await scene.database.read(
            lambda conn: store.query(conn, scene.project, attempt.run_id, keys=[], after=after, limit=7)
        )

    async def follow():
        after = 0
        while True:
            finished = done.is_set()
            rows, _ = await page(after)
            read.extend((row.rank, row.step) for row in rows)
            after = rows[-1].position if rows else after
            if finished and not rows:
                return

    following = asyncio.create_task(follow())
    await asyncio.gather(*[write(rank) for rank in range(4)])
    done.set()
    await following
    assert len(read) == len(set(read)) == 80


async def test_a_stale_attempts_points_are_refused_but_what_is_committed_is_answered(scene):
    attempt = await scene.started(await scene.worker())
    data = journal(1)
    await append(scene, attempt.id, data)
    await scene.pass_time(scene.lease_seconds + 2)
    assert await append(scene, attempt.id, data) == len(data)
    error = await scene.refused(append(scene, attempt.id, journal(2), offset=len(data)))
    assert error.code is ErrorCode.STALE_ATTEMPT


async def test_steps_after_the_checkpoint_do_not_appear_twice(scene):
    """Checkpoint at step 400, crash at 500, resume: 401 to 500 happened once."""
    worker = await scene.worker()
    first = await scene.started(worker)
    upto, beyond = journal(100, 200, 300, 400), journal(450, 500)
    await append(scene, first.id, upto)
    await scene.checkpoint(first.id, step=400, offsets={"metrics-rank0.jsonl": len(upto)})
    await append(scene, first.id, beyond, offset=len(upto))
    await append(scene, first.id, journal(390, 410), rank=1)  # a journal that the checkpoint does not name
    assert await seen(scene, first.run_id) == [100, 200, 300, 400, 450, 500, 390, 410]
    await scene.pass_time(scene.lease_seconds + 2)
    second = (await scene.claim(worker)).attempt
    assert second.resumed_from
    await append(scene, second.id, journal(450, 500, 600))
    assert await seen(scene, first.run_id) == [100, 200, 300, 400, 390, 450, 500, 600]


async def test_an_attempt_between_that_nobody_resumed_from_is_not_seen(scene):
    worker = await scene.worker()
    first = await scene.started(worker)
    await append(scene, first.id, journal(1, 2))
    await scene.checkpoint(first.id, step=2, offsets={"metrics-rank0.jsonl": len(journal(1, 2))})
    await scene.pass_time(scene.lease_seconds + 2)
    second = (await scene.claim(worker)).attempt
    await append(scene, second.id, journal(3, 4))
    await scene.pass_time(scene.lease_seconds + 2)
    third = (await scene.claim(worker)).attempt
    assert third.resumed_from == second.resumed_from
    await append(scene, third.id, journal(3))
    assert await seen(scene, first.run_id) == [1, 2, 3]


async def test_a_fresh_start_hides_all_before_it(scene):
    worker = await scene.worker()
    first = await scene.started(worker)
    await append(scene, first.id, journal(1, 2))
    await scene.pass_time(scene.lease_seconds + 2)
    second = (await scene.claim(worker)).attempt
    await append(scene, second.id, journal(1))
    assert await seen(scene, first.run_id) == [1]


async def test_a_checkpoint_waits_until_the_journals_are_shipped(scene):
    attempt = await scene.started(await scene.worker())
    data = journal(1, 2)
    offsets = {"metrics-rank0.jsonl": len(data)}
    error = await scene.refused(scene.checkpoint(attempt.id, step=2, offsets=offsets))
    assert error.code is ErrorCode.FAILED_PRECONDITION
    assert error.fields[0].field == "offsets.metrics-rank0.jsonl"
    await append(scene, attempt.id, data)
    first = await scene.checkpoint(attempt.id, step=2, offsets=offsets)
    assert await scene.checkpoint(attempt.id, step=2, offsets=offsets) == first
    error = await scene.refused(scene.checkpoint(attempt.id, step=2, offsets=offsets, content="other"))
    assert error.code is ErrorCode.CONFLICT


async def test_the_same_commit_again_is_ok_after_the_attempt_ended(scene):
    attempt = await scene.started(await scene.worker())
    first = await scene.checkpoint(attempt.id, step=1)
    await scene.pass_time(scene.lease_seconds + 2)
    assert await scene.checkpoint(attempt.id, step=1) == first


async def test_resume_is_from_the_last_checkpoint_and_superseded_ones_go(scene):
    from lepton_registry.runs import checkpoints

    worker = await scene.worker()
    first = await scene.started(worker)
    for step in range(1, 6):
        last = await scene.checkpoint(first.id, step=step)
    kept = await scene.database.read(lambda conn: checkpoints.list_of_run(conn, scene.project, first.run_id))
    assert [row.step for row in kept] == [4, 5]
    await scene.pass_time(scene.lease_seconds + 2)
    claimed = await scene.claim(worker)
    assert claimed.resume == last
    for step in range(6, 10):
        await scene.checkpoint(claimed.attempt.id, step=step)
    kept = await scene.database.read(lambda conn: checkpoints.list_of_run(conn, scene.project, first.run_id))
    assert [row.step for row in kept] == [5, 8, 9]


async def test_points_by_key(scene):
    attempt = await scene.started(await scene.worker())
    data = journal(1) + journal(2, key="accuracy")
    await append(scene, attempt.id, data)
    assert await seen(scene, attempt.run_id, keys=["accuracy"]) == [2]
    error = await scene.refused(seen(scene, "run_unknown"))
    assert error.code is ErrorCode.NOT_FOUND


def named(prefix, count):
    """One record for each name."""
    return b"".join(journal(1, key=f"{prefix}{number}") for number in range(count))


async def names_of(scene, run_id):
    rows, _ = await scene.database.read(
        lambda conn: store.query(conn, scene.project, run_id, keys=[], after=0, limit=1000)
    )
    return [row.key for row in rows]


async def test_points_of_further_metrics_than_a_run_may_have_are_dropped_and_named(scene, monkeypatch):
    monkeypatch.setattr(store, "MAX_METRIC_NAMES", 5)
    attempt = await scene.started(await scene.worker())
    first = named("a", 4)
    assert await append(scene, attempt.id, first, whole=True) == (len(first), ())
    more = named("b", 3) + journal(2, key="a0")
    end = len(first + more)
    assert await append(scene, attempt.id, more, len(first), whole=True) == (end, ("b1", "b2"))
    assert await names_of(scene, attempt.run_id) == ["a0", "a1", "a2", "a3", "b0", "a0"]
    only_dropped = journal(3, key="c")
    assert await append(scene, attempt.id, only_dropped, end, whole=True) == (end + len(only_dropped), ("c",))
    known = journal(4, key="b0")
    assert (await append(scene, attempt.id, known, end + len(only_dropped), whole=True)).dropped_names == ()
    assert (await names_of(scene, attempt.run_id))[-1] == "b0"


async def test_ranks_at_once_and_later_attempts_have_one_bound_together(scene, monkeypatch):
    monkeypatch.setattr(store, "MAX_METRIC_NAMES", 10)
    worker = await scene.worker()
    attempt = await scene.started(worker)
    await asyncio.gather(*[append(scene, attempt.id, named(f"r{rank}-", 4), rank=rank) for rank in range(5)])
    stored = set(await names_of(scene, attempt.run_id))
    assert len(stored) == 10
    await scene.pass_time(scene.lease_seconds + 2)
    second = (await scene.claim(worker)).attempt
    assert second.run_id == attempt.run_id
    data = named("other", 1) + journal(1, key=min(stored))
    assert (await append(scene, second.id, data, whole=True)).dropped_names == ("other0",)
    assert await names_of(scene, attempt.run_id) == [min(stored)]


def test_an_upgrade_fills_the_names_from_the_points(database_url):
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        command.upgrade(configuration(connection), "2026_11_28_1200")
        points = sa.Table("metric_points", sa.MetaData(), autoload_with=connection)
        row = {column.name: 0 for column in points.c}
        values = [("run_1", 1, "loss"), ("run_1", 2, "loss"), ("run_1", 3, "a"), ("run_2", 1, "loss")]
        connection.execute(
            sa.insert(points),
            [row | {"run_id": run, "position": position, "key": key} for run, position, key in values],
        )
    upgrade(database_url)
    with engine.connect() as connection:
        names = connection.execute(sa.text("SELECT run_id, name FROM metric_names ORDER BY run_id, name")).all()
    engine.dispose()
    assert names == [("run_1", "a"), ("run_1", "loss"), ("run_2", "loss")]


def test_a_damaged_chunk_is_refused_and_a_whole_record_of_another_shape_passed_over():
    good = encode_record({"s": 1, "t": 2, "k": {"a": 1, "b": True, "c": "x"}})
    for damaged in (good[:-3], b"0" + good[1:], b"nonsense\n"):
        with pytest.raises(LeptonError):
            parse_points(damaged, 0)
    other = encode_record({"kind": "progress", "step": 2**70})
    points = parse_points(other + good, 100)
    assert [(point.key, point.file_offset) for point in points] == [("a", 100 + len(other + good))]


def test_a_journal_belongs_to_its_rank():
    check_file("metrics-rank3.jsonl", 3)
    for name in ("metrics-rank2.jsonl", "../metrics-rank3.jsonl", "metrics-rank03.jsonl", "control-rank3.jsonl"):
        with pytest.raises(LeptonError):
            check_file(name, 3)
