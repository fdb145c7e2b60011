"""How an attempt ended is data: the cause that a worker or the registry gives, on the attempt and on its run."""

import json

import pytest
import sqlalchemy as sa

from lepton_core.causes import EndCause
from lepton_core.errors import Cause, ErrorCode, LeptonError
from lepton_fixtures.registry_calls import claim, push_dataset, register_worker, submit
from lepton_proto.v1 import attempts_pb2, attempts_pb2_grpc, errors_pb2, runs_pb2, runs_pb2_grpc
from lepton_registry.runs import attempts, store
from lepton_registry.runs.result_checks import MAX_PARAMETERS_BYTES, check_cause

KILLED = Cause(EndCause.RANK_KILLED, {"rank": 1, "signal": 9, "log_tail": ["loss 0.3", "größer"]}, "rank 1 was killed")


def code_of(row):
    return json.loads(row.cause_json)["code"] if row.cause_json else ""


async def attempts_of(scene, run):
    return await scene.database.read(lambda conn: attempts.list_of_run(conn, scene.project, run))


async def cancel(scene, run_id):
    return await scene.database.write(lambda conn: store.cancel(conn, scene.project, run_id, "key_1"))


async def test_a_run_shows_the_cause_of_its_last_attempt_until_the_next_begins(scene):
    worker = await scene.worker()
    attempt = await scene.started(worker, retries=2)
    waits = await scene.finish(attempt.id, "failed", cause=KILLED)
    assert (waits.state, code_of(waits)) == ("queued", "rank_killed")
    second = (await scene.claim(worker)).attempt
    assert code_of(await scene.run(waits.id)) == ""
    await scene.finish(second.id, "failed", cause=Cause(EndCause.TIMEOUT, {"seconds": 5}, "out of time"), final=True)
    assert code_of(await scene.run(waits.id)) == "timeout"
    assert [code_of(each) for each in await attempts_of(scene, waits.id)] == ["rank_killed", "timeout"]


async def test_a_run_that_succeeds_in_the_end_has_no_cause(scene):
    worker = await scene.worker()
    attempt = await scene.started(worker, retries=1)
    run = await scene.finish(attempt.id, "failed", cause=KILLED)
    assert code_of(await scene.finish((await scene.claim(worker)).attempt.id, "succeeded")) == ""
    assert [code_of(each) for each in await attempts_of(scene, run.id)] == ["rank_killed", ""]


async def test_a_lease_that_ran_out_is_a_cause(scene):
    attempt = await scene.started(await scene.worker())
    await scene.pass_time(scene.lease_seconds + 2)
    assert code_of(await scene.run(attempt.run_id)) == "lease_lost"
    assert [code_of(each) for each in await attempts_of(scene, attempt.run_id)] == ["lease_lost"]


async def test_cancelled_wins_over_what_the_last_attempt_met(scene):
    worker = await scene.worker()
    attempt = await scene.started(worker)
    await cancel(scene, attempt.run_id)
    run = await scene.finish(attempt.id, "failed", cause=KILLED)
    assert (run.state, code_of(run)) == ("cancelled", "cancelled")
    assert [code_of(each) for each in await attempts_of(scene, run.id)] == ["rank_killed"]
    queued = await cancel(scene, (await scene.submit()).id)
    assert (queued.state, code_of(queued)) == ("cancelled", "cancelled")


async def test_the_event_of_an_end_has_the_code_of_the_run(scene):
    worker = await scene.worker()
    await scene.finish((await scene.started(worker, retries=0)).id, "failed", cause=KILLED)
    attempt = await scene.started(worker)
    await cancel(scene, attempt.run_id)
    await scene.finish(attempt.id, "failed", cause=KILLED)
    await cancel(scene, (await scene.submit()).id)
    statement = "SELECT type, data_json FROM events ORDER BY sequence"
    rows = await scene.database.read(lambda conn: conn.execute(sa.text(statement)).all())
    ended = [row for row in rows if row.type in ("dev.lepton.run.failed.v1", "dev.lepton.run.cancelled.v1")]
    assert [json.loads(row.data_json)["cause"] for row in ended] == ["rank_killed", "cancelled", "cancelled"]


async def test_a_worker_that_starts_anew_is_a_cause(scene):
    worker = await scene.worker()
    attempt = await scene.started(worker)
    await scene.worker(id=worker.id, incarnation=2)
    assert code_of(await scene.run(attempt.run_id)) == "worker_restarted"


async def claimed(server):
    """A run that a worker has claimed: (gateway, assignment)."""
    gateway, pool = await server.gateway(), await server.pool()
    await push_dataset(gateway)
    worker = await register_worker(pool)
    await submit(gateway)
    return gateway, await claim(pool, worker)


async def fail(server, assignment, **fields):
    request = attempts_pb2.FinishRequest(
        attempt_id=assignment.attempt_id, outcome=runs_pb2.ATTEMPT_STATE_FAILED, final=True, **fields
    )
    stub = attempts_pb2_grpc.AttemptServiceStub(await server.channel(assignment.attempt_token))
    return (await stub.Finish(request)).run


async def test_a_worker_reports_a_cause_and_the_gateway_reads_it(server):
    gateway, assignment = await claimed(server)
    message = errors_pb2.Cause(code="a_newer_code", parameters_json='{"rank": 1}', message="killed \0")
    ended = await fail(server, assignment, cause=message)
    expected = errors_pb2.Cause(code="a_newer_code", parameters_json='{"rank":1}', message="killed \ufffd")
    assert (ended.state, ended.cause) == (runs_pb2.RUN_STATE_FAILED, expected)
    runs = runs_pb2_grpc.RunServiceStub(gateway)
    assert (await runs.GetRun(runs_pb2.GetRunRequest(id=ended.id))).run.cause == expected
    [listed] = (await runs.ListRuns(runs_pb2.ListRunsRequest())).runs
    assert listed.cause == expected
    [attempt] = (await runs.ListAttempts(runs_pb2.ListAttemptsRequest(run_id=ended.id))).attempts
    assert attempt.cause == expected


async def test_a_worker_of_an_older_release_gives_no_cause(server):
    _, assignment = await claimed(server)
    assert not (await fail(server, assignment)).HasField("cause")


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (errors_pb2.Cause(message="no code"), "cause.code"),
        (errors_pb2.Cause(code="Not A Code"), "cause.code"),
        (errors_pb2.Cause(code="x" * 65), "cause.code"),
        (errors_pb2.Cause(code="timeout", parameters_json="[1]"), "cause.parameters_json"),
        (errors_pb2.Cause(code="timeout", parameters_json="{"), "cause.parameters_json"),
        (
            errors_pb2.Cause(code="timeout", parameters_json=json.dumps({"tail": "x" * MAX_PARAMETERS_BYTES})),
            "cause.parameters_json",
        ),
    ],
)
def test_a_wrong_cause_is_refused_by_the_name_of_its_field(message, field):
    with pytest.raises(LeptonError) as refused:
        check_cause(message, "cause")
    assert (refused.value.code, refused.value.fields[0].field) == (ErrorCode.INVALID, field)
