"""JSON documents: what could not be read, written or shown again is not stored; what is stored already is survived."""

import json

import pytest
import sqlalchemy as sa

from lepton_core.api import Run
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.grpc.conversion import from_proto
from lepton_core.ids import new_id
from lepton_core.validation import canonical_json
from lepton_fixtures.registry_calls import claim, push_dataset, register_worker, submission, submit, submit_together
from lepton_proto.v1 import (
    attempts_pb2,
    attempts_pb2_grpc,
    lineage_pb2,
    lineage_pb2_grpc,
    recipes_pb2,
    runs_pb2,
    runs_pb2_grpc,
    workers_pb2,
    workers_pb2_grpc,
)
from lepton_registry.events import outbox, sinks
from lepton_registry.lineage import edges, graph
from lepton_registry.lineage.kinds import NodeKinds
from lepton_registry.models.package import _check

POISON = {
    "a lone surrogate in a value": ('{"a":"\\ud800"}', "surrogates"),
    "a lone surrogate in a key": ('{"\\udfff":1}', "surrogates"),
    "deep nesting": ('{"a":' + "[" * 65 + "]" * 65 + "}", "nested too deeply"),
    "very deep nesting": ('{"a":' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
    "a key twice": ('{"a":1,"a":2}', "occurs twice"),
    "a long integer": ('{"a":' + "9" * 4000 + "}", "4000 digits"),
    "an infinity": ('{"a":1e999}', "too large"),
    "a list": ("[1]", "not a JSON object"),
}
each_poison = pytest.mark.parametrize(("text", "said"), POISON.values(), ids=POISON)


async def started(server):
    gateway, pool = await server.gateway(), await server.pool()
    await push_dataset(gateway)
    worker = await register_worker(pool)
    await submit(gateway)
    assignment = await claim(pool, worker)
    return (
        gateway,
        assignment.attempt_id,
        attempts_pb2_grpc.AttemptServiceStub(await server.channel(assignment.attempt_token)),
    )


async def refusal(call) -> str:
    with pytest.raises(LeptonError) as raised:
        await call
    assert raised.value.code is ErrorCode.INVALID
    return raised.value.detail


@each_poison
async def test_a_document_that_cannot_be_read_again_is_not_stored(server, text, said):
    gateway, attempt_id, attempt = await started(server)
    for name in ("metrics", "evaluation", "statistics", "environment"):
        result = attempts_pb2.AttemptResult(**{f"{name}_json": text})
        finish = attempts_pb2.FinishRequest(
            attempt_id=attempt_id, outcome=runs_pb2.ATTEMPT_STATE_SUCCEEDED, result=result
        )
        detail = await refusal(attempt.Finish(finish))
        assert f"result.{name}" in detail
        assert said in detail
    commit = attempts_pb2.CommitCheckpointRequest(attempt_id=attempt_id, step=1, metrics_json=text)
    assert "metrics" in await refusal(attempt.CommitCheckpoint(commit))
    recipe = recipes_pb2.Recipe(name="poison", version="1", schema_json=text)
    announcement = workers_pb2.RegisterWorkerRequest(id=new_id("wrk"), incarnation=1, max_ranks=1, recipes=[recipe])
    pool = workers_pb2_grpc.WorkerServiceStub(await server.pool())
    assert "recipes[0].schema" in await refusal(pool.RegisterWorker(announcement))
    job = submission("poison")
    job.spec_json = job.spec_json.replace("{}", text if text.startswith("{") else '{"a":1,"a":1}')
    [outcome] = await submit_together(gateway, job)
    assert outcome.error.code == "invalid", outcome.error


@each_poison
def test_a_card_that_cannot_be_read_again_is_refused(tmp_path, text, said):
    card = tmp_path / "card.json"
    card.write_text(text)
    with pytest.raises(LeptonError) as raised:
        _check("card.json", card)
    assert raised.value.code is ErrorCode.INVALID
    assert raised.value.detail.startswith("card.json: ")
    assert said in raised.value.detail


async def test_rows_of_an_older_release_are_shown_as_far_as_they_can_be(database):
    facts = '{"good":1,"text":"a\\ud800b","deep":' + "[" * 400 + "]" * 400 + "}"

    def write(conn):
        edges.record(conn, "prj_a", [], [edges.Node("run_1", "run", "n")])
        conn.execute(sa.update(edges.NODES).values(facts_json=facts))

    await database.write(write)
    [node] = await database.read(lambda conn: graph.describe(conn, "prj_a", ["run_1"], NodeKinds(())))
    shown = json.loads(canonical_json(node.facts))
    assert (shown["good"], shown["text"]) == (1, "a\ufffdb")
    assert "left out: nested more than 64 levels deep" in json.dumps(shown["deep"])


@pytest.mark.parametrize("text", ['{"a":"\\ud800"}', '{"a":' + "[" * 400 + "]" * 400 + "}", '{"a":1e999}', "{"])
def test_a_run_of_an_older_release_reaches_the_client(text):
    metrics = from_proto(runs_pb2.Run(state="RUN_STATE_QUEUED", metrics_json=text), Run).metrics
    assert canonical_json(metrics)


async def test_an_event_of_an_older_release_does_not_stop_the_ones_after_it(database):
    await database.write(lambda conn: outbox.write(conn, "prj_a", "run.queued", "run_1", {"name": "n"}))
    poison = {"data_json": '{"name":"\\ud800"}'}
    await database.write(lambda conn: conn.execute(sa.update(outbox.EVENTS).values(**poison)))
    row = await database.read(lambda conn: conn.execute(sa.select(outbox.EVENTS)).one())
    assert json.loads(sinks.cloud_event(row).encode())["data"] == {"name": "\ufffd"}


async def test_an_event_that_cannot_be_shown_is_not_written(database):
    assert "no form in JSON" in await refusal(
        database.write(lambda conn: outbox.write(conn, "prj_a", "run.queued", "run_1", {"name": "\ud800"}))
    )


async def test_an_unknown_number_of_an_enum_is_refused_by_the_name_of_its_field(server):
    gateway = await server.gateway()
    assert "state" in await refusal(runs_pb2_grpc.RunServiceStub(gateway).ListRuns(runs_pb2.ListRunsRequest(state=99)))
    asked = lineage_pb2.GetLineageRequest(id="run_1", direction=77)
    detail = await refusal(lineage_pb2_grpc.LineageServiceStub(gateway).GetLineage(asked))
    assert detail.startswith("direction: unknown value")
