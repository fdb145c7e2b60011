"""What is said of a run that waits."""

import pytest
import sqlalchemy as sa

from lepton_core.causes import WaitingCause
from lepton_registry.runs import store
from lepton_registry.scheduling import queue_reason
from lepton_registry.workers import store as workers


@pytest.fixture
async def waiting(scene, database):
    """Why a run waits, now that the scene's own worker is not seen any more."""
    await database.write(lambda conn: conn.execute(sa.update(workers.WORKERS).values(seen_at_us=0)))

    async def read(run):
        cause = await database.read(
            lambda conn: queue_reason.waiting_reason(conn, store.get(conn, run.project, run.id))
        )
        return cause and (cause.code, cause.parameters)

    return read


async def test_no_worker_is_up(scene, waiting):
    assert await waiting(await scene.submit()) == (WaitingCause.NO_WORKER, {})


async def test_what_a_worker_could_take_has_its_place(scene, waiting):
    await scene.worker()
    first, second = await scene.submit(), await scene.submit()
    assert await waiting(first) == (WaitingCause.QUEUED, {"place": 1})
    assert await waiting(second) == (WaitingCause.QUEUED, {"place": 2})


async def test_a_run_that_does_not_wait_has_no_reason(scene, waiting):
    attempt = await scene.started(await scene.worker())
    assert await waiting(await scene.run(attempt.run_id)) is None


async def test_the_recipe_the_scripts_and_the_ranks_that_are_missing_are_named(scene, waiting):
    await scene.worker(recipes=["other@1"], ranks=2)
    recipe = {"recipe": "r", "version": "1", "offered": []}
    assert await waiting(await scene.submit()) == (WaitingCause.NO_WORKER_WITH_RECIPE, recipe)
    script = {"recipe": "", "data": "", "script": {"entry": "file0", "code": (await scene.dataset("code")).digest}}
    assert await waiting(await scene.submit(**script)) == (WaitingCause.NO_WORKER_FOR_SCRIPTS, {})
    await scene.worker(ranks=2, scripts=True)
    code, _ = await waiting(await scene.submit(**script))
    assert code == WaitingCause.QUEUED
    isolated = await scene.submit(**script, isolated=True)
    assert await waiting(isolated) == (WaitingCause.NO_WORKER_FOR_ISOLATED_SCRIPTS, {})
    ranks = {"needed": 3, "most": 2}
    assert await waiting(await scene.submit(resources={"ranks": 3})) == (WaitingCause.NOT_ENOUGH_RANKS, ranks)


async def test_after_an_upgrade_the_versions_that_workers_have_are_named(scene, waiting, database):
    run = await scene.submit()
    await scene.worker(recipes=["r@3", "other@7"])
    await scene.worker(recipes=["r@2"])
    recipe = {"recipe": "r", "version": "1", "offered": ["2", "3"]}
    assert await waiting(run) == (WaitingCause.NO_WORKER_WITH_RECIPE, recipe)
    cause = await database.read(lambda conn: queue_reason.waiting_reason(conn, run))
    assert "no worker that is up has the recipe r@1, but there is r@2, r@3: cancel this run and" in cause.message


async def test_one_that_drains_is_none(scene, waiting, database):
    worker = await scene.worker()
    await database.write(lambda conn: workers.drain(conn, worker.id))
    assert await waiting(await scene.submit()) == (WaitingCause.WORKERS_DRAINING, {})
