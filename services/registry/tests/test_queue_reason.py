"""What is said of a run that waits."""

import pytest
import sqlalchemy as sa

from lepton_registry.runs import store
from lepton_registry.scheduling import queue_reason
from lepton_registry.workers import store as workers


@pytest.fixture
async def told(scene, database):
    """Why a run waits, now that the scene's own worker is not seen any more."""
    await database.write(lambda conn: conn.execute(sa.update(workers.WORKERS).values(seen_at_us=0)))

    async def read(run):
        return await database.read(lambda conn: queue_reason.reason(conn, store.get(conn, run.project, run.id)))

    return read


async def test_no_worker_is_up(scene, told):
    assert await told(await scene.submit()) == "no worker can take it now: none is up"


async def test_what_a_worker_could_take_waits_without_a_word(scene, told):
    await scene.worker()
    assert await told(await scene.submit()) == ""


async def test_the_recipe_the_scripts_and_the_ranks_that_are_not_there_are_named(scene, told):
    await scene.worker(recipes=["other@1"], ranks=2)
    assert (await told(await scene.submit())).endswith("none that is up has the recipe r@1")
    script = {"recipe": "", "data": "", "script": {"entry": "file0", "code": (await scene.dataset("code")).digest}}
    assert (await told(await scene.submit(**script))).endswith("none that is up accepts scripts")
    await scene.worker(ranks=2, scripts=True)
    assert await told(await scene.submit(**script)) == ""
    isolated = await scene.submit(**script, isolated=True)
    assert (await told(isolated)).endswith("none that is up runs scripts as a user of their own")
    assert (await told(await scene.submit(resources={"ranks": 3}))).endswith(
        "it needs 3 ranks, and none has room for more than 2"
    )


async def test_one_that_drains_is_none(scene, told, database):
    worker = await scene.worker()
    await database.write(lambda conn: workers.drain(conn, worker.id))
    assert (await told(await scene.submit())).endswith("those that could are draining")


async def test_what_was_before_is_kept(scene, told, database):
    worker = await scene.worker()
    attempt = await scene.started(worker)
    await scene.finish(attempt.id, "failed", reason="the disk was full")
    run = await scene.run(attempt.run_id)
    assert run.state == "queued"
    await database.write(lambda conn: conn.execute(sa.update(workers.WORKERS).values(seen_at_us=0)))
    assert await told(run) == f"no worker can take it now: none is up (before: {run.reason})"
