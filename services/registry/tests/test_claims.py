"""Claim, lease, fence (PROTOCOLS, 3)."""

import asyncio

import pytest
import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError
from lepton_registry.runs import store
from lepton_registry.scheduling import leases
from lepton_registry.workers import store as workers


async def test_first_come_first_served(scene):
    worker = await scene.worker()
    runs = [(await scene.submit()).id for _ in range(3)]
    assert [(await scene.claim(worker)).run.id for _ in runs] == runs
    assert await scene.claim(worker) is None


async def test_the_same_claim_gives_the_same_attempt(scene):
    """The answer got lost; the worker asks again."""
    worker = await scene.worker()
    run, other = await scene.submit(), await scene.submit()
    first = await scene.claim(worker, "claim")
    again = await scene.claim(worker, "claim")
    assert again.attempt == first.attempt
    assert (await scene.run(run.id)).attempts == 1
    assert (await scene.run(other.id)).state == "queued"


async def test_a_claim_whose_attempt_has_ended_gives_nothing(scene):
    worker = await scene.worker()
    await scene.submit()
    claimed = await scene.claim(worker, "claim")
    await scene.pass_time(scene.lease_seconds + 2)
    assert await scene.claim(worker, "claim") is None
    assert (await scene.claim(worker, "another")).attempt.id != claimed.attempt.id


async def test_many_claims_at_once_give_each_run_once(scene):
    workers = [await scene.worker() for _ in range(8)]
    runs = {(await scene.submit()).id for _ in range(5)}
    claimed = await asyncio.gather(*[scene.claim(worker) for worker in workers])
    given = [each.run.id for each in claimed if each is not None]
    assert len(given) == 5
    assert set(given) == runs


async def test_only_a_worker_that_announces_the_recipe_gets_the_run(scene):
    await scene.submit()
    assert await scene.claim(await scene.worker(recipes=["r@2", "other@1"])) is None
    assert await scene.claim(await scene.worker(recipes=["other@1", "r@1"])) is not None


async def test_first_come_first_served_whatever_the_recipe_and_the_ranks(scene):
    await scene.worker(recipes=["a@1"])
    worker = await scene.worker(recipes=["r@1", "a@1"], scripts=True, ranks=4)
    runs = []
    for ranks in (3, 1, 4, 64, 2):
        runs += [await scene.submit(recipe=recipe, resources={"ranks": ranks}) for recipe in ("r", "a")]
    able = [run.id for run in runs if run.ranks <= 4]
    assert [(await scene.claim(worker)).run.id for _ in able] == able
    assert await scene.claim(worker) is None


async def test_a_run_needs_room_for_its_ranks(scene):
    await scene.submit(resources={"ranks": 3})
    assert await scene.claim(await scene.worker(ranks=2)) is None
    assert await scene.claim(await scene.worker(ranks=3)) is not None


async def test_scripts_go_to_workers_that_accept_them(scene):
    digest = (await scene.dataset("code")).digest
    await scene.submit(recipe="", data="", script={"entry": "file0", "code": digest})
    assert await scene.claim(await scene.worker()) is None
    claimed = await scene.claim(await scene.worker(scripts=True))
    assert claimed.run.code_digest == digest


async def script(scene, **more):
    digest = (await scene.dataset("code")).digest
    return await scene.submit(recipe="", data="", script={"entry": "file0", "code": digest}, **more)


async def test_isolated_scripts_go_only_to_workers_that_isolate(scene):
    isolated, trusted = await script(scene, isolated=True), await script(scene)
    recipe = await scene.submit()
    accepting = await scene.worker(scripts=True)
    assert [(await scene.claim(accepting)).run.id for _ in range(2)] == [trusted.id, recipe.id]
    assert await scene.claim(accepting) is None
    assert await scene.claim(await scene.worker(isolates=True)) is None
    assert (await scene.claim(await scene.worker(scripts=True, isolates=True))).run.id == isolated.id


async def test_a_worker_that_isolates_takes_every_script_in_its_turn(scene):
    runs = [await script(scene, isolated=isolated) for isolated in (False, True, False, True)]
    worker = await scene.worker(scripts=True, isolates=True)
    assert [(await scene.claim(worker)).run.id for _ in runs] == [run.id for run in runs]


async def test_a_worker_isolates_as_its_present_incarnation_says(scene):
    run = await script(scene, isolated=True)
    worker = await scene.worker(scripts=True, isolates=True)
    worker = await scene.worker(id=worker.id, incarnation=2, scripts=True)
    assert await scene.claim(worker) is None
    worker = await scene.worker(id=worker.id, incarnation=3, scripts=True, isolates=True)
    assert (await scene.claim(worker)).run.id == run.id


async def test_an_isolated_run_stays_isolated_from_attempt_to_attempt_and_retry_to_retry(scene, database):
    run = await script(scene, isolated=True)
    isolating = await scene.worker(scripts=True, isolates=True)
    await scene.claim(isolating)
    await scene.pass_time(scene.lease_seconds + 2)
    assert await scene.claim(await scene.worker(scripts=True)) is None
    await database.write(lambda conn: store.cancel(conn, scene.project, run.id, "key_1"))
    again, _ = await database.write(lambda conn: store.retry(conn, scene.project, run.id, "again", "key_1"))
    assert again.isolated
    assert await scene.claim(await scene.worker(scripts=True)) is None


async def test_a_retry_can_isolate_what_was_trusted(scene, database):
    run = await script(scene)
    await database.write(lambda conn: store.cancel(conn, scene.project, run.id, "key_1"))
    again, _ = await database.write(
        lambda conn: store.retry(conn, scene.project, run.id, "again", "key_2", isolated=True)
    )
    assert again.isolated
    assert await scene.claim(await scene.worker(scripts=True)) is None


async def test_a_recipe_cannot_be_isolated(scene):
    with pytest.raises(LeptonError, match="isolated"):
        scene.job(isolated=True)


async def test_an_earlier_incarnation_may_not_claim(scene):
    worker = await scene.worker(incarnation=1)
    await scene.worker(id=worker.id, incarnation=2)
    await scene.submit()
    assert (await scene.refused(scene.claim(worker))).code is ErrorCode.FAILED_PRECONDITION


async def test_a_new_incarnation_frees_the_leases_of_earlier_ones(scene):
    worker = await scene.worker(incarnation=1)
    attempt = await scene.started(worker)
    newer = await scene.worker(id=worker.id, incarnation=2)
    assert (await scene.run(attempt.run_id)).state == "queued"
    assert (await scene.refused(scene.heartbeat(attempt.id))).code is ErrorCode.STALE_ATTEMPT
    claimed = await scene.claim(newer)
    assert claimed.run.id == attempt.run_id
    assert (claimed.run.attempts, claimed.run.retries_spent) == (2, 0)


async def test_an_incarnation_cannot_go_back(scene):
    worker = await scene.worker(incarnation=5)
    assert (await scene.refused(scene.worker(id=worker.id, incarnation=4))).code is ErrorCode.FAILED_PRECONDITION
    assert (await scene.worker(id=worker.id, incarnation=5)).id == worker.id


async def test_a_lease_without_heartbeat_is_lost_and_the_run_queued_again(scene):
    attempt = await scene.started(await scene.worker())
    assert await scene.pass_time(scene.lease_seconds - 2) == []
    assert await scene.pass_time(6) == [attempt.id]
    run = await scene.run(attempt.run_id)
    assert (run.state, run.retries_spent, run.lost_in_a_row) == ("queued", 0, 1)
    assert (await scene.events())[-1] == ("run.queued", run.id)


async def test_heartbeats_keep_the_lease(scene):
    attempt = await scene.started(await scene.worker())
    for _ in range(4):
        assert await scene.pass_time(scene.lease_seconds - 4) == []
        assert await scene.heartbeat(attempt.id, 0.25) == "continue"
    assert (await scene.run(attempt.run_id)).progress == 0.25


async def test_a_late_renewal_succeeds_while_the_attempt_is_the_current_one(scene, database):
    """The lease is over, but no sweep has come yet."""
    attempt = await scene.started(await scene.worker())
    for _ in range(scene.lease_seconds):
        await database.write(lambda conn: leases.advance(conn, 2_000_000))
    await scene.heartbeat(attempt.id)
    assert await scene.pass_time(2) == []


async def test_lease_time_stands_still_while_nobody_counts(scene, database):
    """A suspend, a stepped clock or an outage of hours is one beat of at most two seconds."""
    attempt = await scene.started(await scene.worker())
    before = await database.read(leases.elapsed_us)
    await database.write(lambda conn: leases.advance(conn, 3600 * 1_000_000))
    assert await database.read(leases.elapsed_us) == before + 2_000_000
    await database.write(lambda conn: leases.advance(conn, -5))
    assert await database.read(leases.elapsed_us) == before + 2_000_000
    assert await scene.pass_time(2) == []
    assert await scene.heartbeat(attempt.id) == "continue"


async def test_heartbeat_and_sweep_at_once_agree(scene, database):
    """Either the lease was renewed or the attempt is lost: never both."""
    attempts = [await scene.started(await scene.worker()) for _ in range(6)]
    await scene.pass_time(scene.lease_seconds - 1)
    for _ in range(2):
        await database.write(lambda conn: leases.advance(conn, 2_000_000))
    results = await asyncio.gather(
        scene.pass_time(1), *[scene.heartbeat(attempt.id) for attempt in attempts], return_exceptions=True
    )
    for attempt, answer in zip(attempts, results[1:], strict=True):
        state = (await scene.run(attempt.run_id)).state
        assert state == ("running" if answer == "continue" else "queued")


async def test_cancel_and_claim_at_once(scene, database):
    worker = await scene.worker()
    for _ in range(10):
        run = await scene.submit()
        cancel = database.write(lambda conn, run=run: store.cancel(conn, run.project, run.id, "key_1"))
        claimed, _ = await asyncio.gather(scene.claim(worker), cancel)
        found = await scene.run(run.id)
        assert found.cancel_requested
        assert found.state == ("running" if claimed else "cancelled")


async def test_a_draining_worker_gets_no_work_and_hears_it_at_its_heartbeat(scene, database):
    worker = await scene.worker()
    attempt = await scene.started(worker)
    await scene.submit()
    assert await scene.heartbeat(attempt.id) == "continue"
    await database.write(lambda conn: workers.drain(conn, worker.id))
    assert await scene.heartbeat(attempt.id) == "drain"
    assert (await scene.finish(attempt.id, "released")).state == "queued"
    assert await scene.claim(worker) is None
    assert await scene.claim(await scene.worker(id=worker.id, incarnation=2)) is not None


async def test_a_cancel_goes_before_a_drain(scene, database):
    worker = await scene.worker()
    attempt = await scene.started(worker)
    await database.write(lambda conn: workers.drain(conn, worker.id))
    await database.write(lambda conn: store.cancel(conn, scene.project, attempt.run_id, "key_1"))
    assert await scene.heartbeat(attempt.id) == "cancel"


async def test_attempt_ids_are_random_and_numbers_count(scene, database):
    worker = await scene.worker()
    first = await scene.started(worker)
    await scene.pass_time(scene.lease_seconds + 2)
    second = (await scene.claim(worker)).attempt
    assert (first.number, second.number) == (1, 2)
    assert first.id != second.id
    running = await database.read(
        lambda conn: conn.execute(sa.text("SELECT count(*) FROM attempts WHERE state = 'running'")).scalar()
    )
    assert running == 1
