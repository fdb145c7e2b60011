"""The end of attempts and runs (PROTOCOLS, 7)."""

import asyncio
import json

import sqlalchemy as sa

from lepton_core.errors import ErrorCode
from lepton_core.ids import digest_of
from lepton_registry.artifacts.manifest import File
from lepton_registry.runs import store
from lepton_registry.runs.completion import Package


async def cancel(scene, run_id):
    return await scene.database.write(lambda conn: store.cancel(conn, scene.project, run_id, "key_1"))


async def package(scene, text="weights"):
    return Package(await scene.files(text), '{"v":1}', "{}")


async def rows(scene, table):
    return await scene.database.read(lambda conn: conn.execute(sa.text(f"SELECT * FROM {table}")).all())


async def test_failures_spend_retries_until_the_run_fails(scene):
    worker = await scene.worker()
    attempt = await scene.started(worker, retries=1)
    run = await scene.finish(attempt.id, "failed", reason="killed")
    assert (run.state, run.retries_spent, run.finished_at_us) == ("queued", 1, 0)
    second = (await scene.claim(worker)).attempt
    run = await scene.finish(second.id, "failed", reason="killed again")
    assert (run.state, run.retries_spent, run.reason, run.attempts) == ("failed", 1, "killed again", 2)


async def test_nan_is_final(scene):
    attempt = await scene.started(await scene.worker(), retries=2)
    run = await scene.finish(attempt.id, "failed", reason="loss is NaN at step 3", final=True)
    assert (run.state, run.retries_spent, run.reason) == ("failed", 0, "loss is NaN at step 3")


async def test_released_costs_nothing_however_often(scene):
    worker = await scene.worker()
    await scene.submit(retries=0)
    for _ in range(7):
        claimed = await scene.claim(worker)
        run = await scene.finish(claimed.attempt.id, "released", reason="drained")
        assert (run.state, run.retries_spent) == ("queued", 0)


async def test_a_run_that_loses_every_host_ends(scene):
    """A poison run would go round for ever."""
    worker = await scene.worker()
    run = await scene.submit(retries=0)
    for number in range(1, 6):
        assert (await scene.run(run.id)).state == "queued"
        claimed = await scene.claim(worker)
        assert await scene.pass_time(scene.lease_seconds + 2) == [claimed.attempt.id]
        assert (await scene.run(run.id)).lost_in_a_row == number
    ended = await scene.run(run.id)
    assert (ended.state, ended.retries_spent) == ("failed", 0)
    assert "5 attempts in a row were lost" in ended.reason


async def test_a_new_checkpoint_starts_the_count_of_lost_attempts_again(scene):
    worker = await scene.worker()
    run = await scene.submit(retries=0)
    for number in range(8):
        claimed = await scene.claim(worker)
        await scene.checkpoint(claimed.attempt.id, step=number)
        await scene.pass_time(scene.lease_seconds + 2)
    assert (await scene.run(run.id)).state == "queued"


async def test_a_stale_attempt_may_write_nothing(scene):
    worker = await scene.worker()
    stale = await scene.started(worker)
    await scene.pass_time(scene.lease_seconds + 2)
    current = (await scene.claim(worker)).attempt
    for call in (
        scene.heartbeat(stale.id),
        scene.checkpoint(stale.id, step=1),
        scene.finish(stale.id, "succeeded"),
        scene.finish(stale.id, "failed"),
        scene.finish("att_unknown", "failed"),
    ):
        assert (await scene.refused(call)).code is ErrorCode.STALE_ATTEMPT
    assert (await scene.run(current.run_id)).current_attempt_id == current.id
    assert (await scene.finish(current.id, "succeeded")).state == "succeeded"


async def test_the_same_finish_again_is_ok_and_another_is_stale(scene):
    """The answer got lost; the worker offers its outcome again."""
    attempt = await scene.started(await scene.worker())
    first = await scene.finish(attempt.id, "succeeded", metrics_json='{"a":1}')
    assert await scene.finish(attempt.id, "succeeded", metrics_json='{"a":1}') == first
    error = await scene.refused(scene.finish(attempt.id, "failed"))
    assert error.code is ErrorCode.STALE_ATTEMPT
    assert (await scene.run(attempt.run_id)).state == "succeeded"


async def test_the_same_finish_at_once_is_ok_each_time(scene):
    """A worker that waited too long for the answer asks again while the first is still at work."""
    worker = await scene.worker()
    for outcome in ("succeeded", "failed"):
        attempt = await scene.started(worker)
        answers = await asyncio.gather(*[scene.finish(attempt.id, outcome, final=True) for _ in range(4)])
        assert {answer.state for answer in answers} == {outcome}


async def test_the_same_checkpoint_at_once_is_one(scene):
    attempt = await scene.started(await scene.worker())
    commits = await asyncio.gather(*[scene.checkpoint(attempt.id, 1) for _ in range(4)])
    assert len({commit.id for commit in commits}) == 1


async def test_success_after_a_cancel_is_refused_and_cancelled_accepted(scene):
    attempt = await scene.started(await scene.worker())
    assert (await scene.refused(scene.finish(attempt.id, "cancelled"))).code is ErrorCode.FAILED_PRECONDITION
    await cancel(scene, attempt.run_id)
    assert (await scene.refused(scene.finish(attempt.id, "succeeded"))).code is ErrorCode.FAILED_PRECONDITION
    assert (await scene.finish(attempt.id, "cancelled")).state == "cancelled"


async def test_a_lease_lost_after_a_cancel_cancels_the_run(scene):
    attempt = await scene.started(await scene.worker())
    await cancel(scene, attempt.run_id)
    await scene.pass_time(scene.lease_seconds + 2)
    run = await scene.run(attempt.run_id)
    assert (run.state, run.reason) == ("cancelled", "cancelled on request")


async def test_success_registers_the_model_with_its_lineage_and_events(scene):
    attempt = await scene.started(await scene.worker(), register={"model": "digits", "alias": "champion"})
    report = {
        "package": await package(scene),
        "metrics_json": '{"accuracy":0.99}',
        "environment_json": '{"platform":"linux","python":"3.11"}',
        "code_digest": digest_of(b"code"),
        "statistics_json": '{"rows":3}',
    }
    run = await scene.finish(attempt.id, "succeeded", **report)
    assert (run.state, run.model, run.model_version, run.progress) == ("succeeded", "digits", 1, 1.0)
    assert run.model_version_id.startswith("mv_")
    edges = {(row.from_id, row.relation, row.to_id) for row in await rows(scene, "lineage_edges")}
    environment = digest_of(report["environment_json"].encode())
    assert edges == {
        (run.id, "used", run.dataset_version_id),
        (run.id, "executed", f"code:{report['code_digest']}"),
        (run.id, "ran_in", f"env:{environment}"),
        (run.model_version_id, "generated", run.id),
    }
    assert [row.version for row in await rows(scene, "model_aliases")] == [1]
    kinds = [kind for kind, _ in await scene.events()]
    assert kinds[-3:] == ["model_version.created", "model_alias.moved", "run.succeeded"]
    assert [json.loads(row.statistics_json) for row in await rows(scene, "run_results")] == [{"rows": 3}]


async def test_a_finish_that_fails_leaves_nothing_behind(scene):
    """A file of the package is not in the store: no version, no edge, no event, and the run still runs."""
    attempt = await scene.started(await scene.worker(), register={"model": "digits"})
    before = await scene.events(), await rows(scene, "lineage_edges")
    missing = Package([File("model.onnx", digest_of(b"never sent"), 10)], "{}", "{}")
    error = await scene.refused(scene.finish(attempt.id, "succeeded", package=missing))
    assert error.code is ErrorCode.FAILED_PRECONDITION
    assert (await scene.events(), await rows(scene, "lineage_edges")) == before
    assert await rows(scene, "model_versions") == []
    assert (await scene.finish(attempt.id, "succeeded", package=await package(scene))).model_version == 1


async def test_a_job_that_registers_needs_a_package(scene):
    attempt = await scene.started(await scene.worker(), register={"model": "digits"})
    error = await scene.refused(scene.finish(attempt.id, "succeeded"))
    assert (error.code, error.fields[0].field) == (ErrorCode.INVALID, "result.package")


async def test_data_is_in_the_lineage_of_a_run_that_failed(scene):
    attempt = await scene.started(await scene.worker(), retries=0)
    run = await scene.finish(attempt.id, "failed")
    assert [(row.from_id, row.to_id) for row in await rows(scene, "lineage_edges")] == [
        (run.id, run.dataset_version_id)
    ]
