"""The registry over gRPC: a job from submission to a registered model, and who may call what."""

import asyncio
import json

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity import POLICIES, Role, new_service_token
from lepton_core.ids import digest_of, new_id
from lepton_core.journal import encode_record
from lepton_fixtures.registry_calls import (
    claim,
    push_dataset,
    put_files,
    register_worker,
    submission,
    submit,
    submit_together,
)
from lepton_proto.v1 import (
    artifacts_pb2,
    artifacts_pb2_grpc,
    attempts_pb2,
    attempts_pb2_grpc,
    datasets_pb2,
    logs_pb2,
    logs_pb2_grpc,
    metrics_pb2,
    metrics_pb2_grpc,
    recipes_pb2,
    runs_pb2,
    runs_pb2_grpc,
    workers_pb2,
)


async def prepared(server, **spec):
    """A dataset, a worker, a run that it has claimed: (gateway, assignment, channel of the attempt)."""
    gateway, pool = await server.gateway(), await server.pool()
    await push_dataset(gateway)
    worker = await register_worker(pool)
    await submit(gateway, **spec)
    assignment = await claim(pool, worker)
    return gateway, assignment, await server.channel(assignment.attempt_token)


async def eventually(condition):
    while not condition():  # noqa: ASYNC110 - what is waited for is far away
        await asyncio.sleep(0.01)


async def code_of(call) -> ErrorCode:
    with pytest.raises(LeptonError) as raised:
        await call
    return raised.value.code


async def test_a_job_from_submission_to_its_end(server):
    gateway, assignment, attempt = await prepared(server)
    assert assignment.number == 1
    assert json.loads(assignment.spec_json)["data"] == "digits@1"
    stub = attempts_pb2_grpc.AttemptServiceStub(attempt)
    beat = await stub.Heartbeat(attempts_pb2.HeartbeatRequest(attempt_id=assignment.attempt_id, progress=0.5))
    assert (beat.directive, beat.lease_seconds) == (attempts_pb2.DIRECTIVE_CONTINUE, 30)

    record = encode_record({"s": 1, "t": 5, "k": {"loss": 0.25}})
    append = metrics_pb2.AppendMetricsRequest(
        attempt_id=assignment.attempt_id, rank=0, file="metrics-rank0.jsonl", offset=0, records=record
    )
    assert (await metrics_pb2_grpc.MetricServiceStub(attempt).AppendMetrics(append)).committed_offset == len(record)

    _, files = await put_files(attempt, {"model.safetensors": b"weights", "optimizer.pt": b"state"})
    commit = attempts_pb2.CommitCheckpointRequest(
        attempt_id=assignment.attempt_id,
        step=1,
        files=files,
        offsets=[attempts_pb2.FileOffset(file="metrics-rank0.jsonl", offset=len(record))],
    )
    checkpoint = (await stub.CommitCheckpoint(commit)).checkpoint
    assert (checkpoint.step, checkpoint.run_id) == (1, assignment.run_id)

    finish = attempts_pb2.FinishRequest(
        attempt_id=assignment.attempt_id,
        outcome=runs_pb2.ATTEMPT_STATE_SUCCEEDED,
        result=attempts_pb2.AttemptResult(metrics_json='{"accuracy":0.9}'),
    )
    run = (await stub.Finish(finish)).run
    assert (await stub.Finish(finish)).run == run
    assert run.state == runs_pb2.RUN_STATE_SUCCEEDED
    points = await metrics_pb2_grpc.MetricServiceStub(gateway).QueryMetrics(
        metrics_pb2.QueryMetricsRequest(run_id=run.id)
    )
    assert [(p.key, p.step, p.value, p.attempt_id) for p in points.points] == [("loss", 1, 0.25, assignment.attempt_id)]
    assert points.end


async def test_watching_a_run_tells_each_change_until_its_end(server):
    gateway, assignment, attempt = await prepared(server)
    seen = []

    async def watch():
        request = runs_pb2.WatchRunRequest(id=assignment.run_id)
        async for answer in runs_pb2_grpc.RunServiceStub(gateway).WatchRun(request):
            seen.append((answer.run.state, answer.run.cancel_requested))  # noqa: PERF401 - looked at meanwhile

    watching = asyncio.create_task(watch())
    runs = runs_pb2_grpc.RunServiceStub(gateway)
    async with asyncio.timeout(10):
        await eventually(lambda: len(seen) == 1)
        await runs.CancelRun(runs_pb2.CancelRunRequest(id=assignment.run_id))
        await eventually(lambda: len(seen) == 2)
        finish = attempts_pb2.FinishRequest(attempt_id=assignment.attempt_id, outcome=runs_pb2.ATTEMPT_STATE_CANCELLED)
        await attempts_pb2_grpc.AttemptServiceStub(attempt).Finish(finish)
        await watching
    running, cancelled = runs_pb2.RUN_STATE_RUNNING, runs_pb2.RUN_STATE_CANCELLED
    assert seen == [(running, False), (running, True), (cancelled, True)]


async def test_logs_are_kept_up_to_their_cap_and_say_so(server):
    await server.restart(max_log_bytes_per_run=2048)
    gateway, assignment, attempt = await prepared(server)
    stub = logs_pb2_grpc.LogServiceStub(attempt)

    async def append(offset, data, stream="rank-0"):
        request = logs_pb2.AppendLogRequest(attempt_id=assignment.attempt_id, stream=stream, offset=offset, data=data)
        answer = await stub.AppendLog(request)
        return answer.committed_offset, answer.full

    assert await append(0, b"hello\n") == (6, False)
    assert await append(0, b"hello\n") == (6, False)  # sent again
    assert await append(10, b"gap") == (6, False)
    assert await append(0, b"other\n", "launcher") == (6, False)
    assert await append(6, b"x" * 4000) == (4006, True)
    assert await append(4006, b"more") == (4010, True)
    reader = logs_pb2_grpc.LogServiceStub(gateway)
    page = await reader.ReadLog(logs_pb2.ReadLogRequest(run_id=assignment.run_id, stream="rank-0"))
    text = b"".join(chunk.data for chunk in page.chunks)
    assert text.startswith(b"hello\nxxx")
    assert b"reached the limit of 2048 bytes" in text
    assert len(text) < 2300
    assert not page.end
    everything = await reader.ReadLog(logs_pb2.ReadLogRequest(run_id=assignment.run_id))
    assert {chunk.stream for chunk in everything.chunks} == {"rank-0", "launcher"}


async def test_an_attempts_token_touches_that_attempt_alone(server):
    _, assignment, attempt = await prepared(server)
    other = new_id("att")
    calls = [
        attempts_pb2_grpc.AttemptServiceStub(attempt).Heartbeat(attempts_pb2.HeartbeatRequest(attempt_id=other)),
        attempts_pb2_grpc.AttemptServiceStub(attempt).Finish(
            attempts_pb2.FinishRequest(attempt_id=other, outcome=runs_pb2.ATTEMPT_STATE_FAILED)
        ),
        metrics_pb2_grpc.MetricServiceStub(attempt).AppendMetrics(
            metrics_pb2.AppendMetricsRequest(attempt_id=other, file="metrics-rank0.jsonl")
        ),
        runs_pb2_grpc.RunServiceStub(attempt).GetRun(runs_pb2.GetRunRequest(id=assignment.run_id)),
        attempts_pb2_grpc.AttemptServiceStub(attempt).Claim(attempts_pb2.ClaimRequest(worker_id="w", claim_id="c")),
    ]
    for call in calls:
        assert await code_of(call) is ErrorCode.PERMISSION_DENIED


async def test_of_what_is_submitted_together_each_is_accepted_or_refused_by_itself(server):
    gateway, pool = await server.gateway(), await server.pool()
    await push_dataset(gateway)
    await register_worker(pool)
    known = await submit(gateway, "known")
    outcomes = await submit_together(
        gateway,
        submission("new"),
        submission("known"),
        submission("no data", data="nothing@1"),
        submission("known", name="other"),
        submission("new"),
        runs_pb2.Submission(spec_json="{", key_namespace="client", idempotency_key="torn", request_digest="1:x"),
    )
    accepted = [(outcome.run.id, outcome.created) for outcome in outcomes if not outcome.HasField("error")]
    new = outcomes[0].run.id
    assert new != known.id
    assert sorted(accepted) == sorted([(new, True), (known.id, False), (new, False)])
    refused = [(at, outcome.error.code) for at, outcome in enumerate(outcomes) if outcome.HasField("error")]
    assert refused == [(2, "invalid"), (3, "conflict"), (5, "invalid")]
    assert outcomes[2].error.fields[0].field == "data"


async def test_who_is_not_known_is_not_let_in(server):
    _, assignment, _ = await prepared(server)
    forged = assignment.attempt_token[:-1] + ("0" if assignment.attempt_token[-1] != "0" else "1")
    for token in ("", "nonsense", new_service_token("gateway"), server.tokens["operator"], forged):
        channel = await server.channel(token)
        call = runs_pb2_grpc.RunServiceStub(channel).GetRun(runs_pb2.GetRunRequest(id=assignment.run_id))
        assert await code_of(call) is ErrorCode.UNAUTHENTICATED


async def test_an_acting_principal_is_needed_and_sees_its_own_project(server):
    _, assignment, _ = await prepared(server)
    request = runs_pb2.GetRunRequest(id=assignment.run_id)
    nobody = await server.channel(server.tokens["gateway"])
    assert await code_of(runs_pb2_grpc.RunServiceStub(nobody).GetRun(request)) is ErrorCode.PERMISSION_DENIED
    stranger = await server.gateway(project=new_id("prj"))
    assert await code_of(runs_pb2_grpc.RunServiceStub(stranger).GetRun(request)) is ErrorCode.NOT_FOUND
    viewer = await server.gateway(Role.VIEWER)
    assert (await runs_pb2_grpc.RunServiceStub(viewer).GetRun(request)).run.id == assignment.run_id
    cancel = runs_pb2.CancelRunRequest(id=assignment.run_id)
    assert await code_of(runs_pb2_grpc.RunServiceStub(viewer).CancelRun(cancel)) is ErrorCode.PERMISSION_DENIED


@pytest.mark.parametrize("token", ["x", "\0", "9" * 50, "att_01JAAAAAAAAAAAAAAAAAAAAAAA"])
async def test_a_page_token_that_was_not_given_out_is_refused(server, token):
    runs = runs_pb2_grpc.RunServiceStub(await server.gateway())
    assert await code_of(runs.ListRuns(runs_pb2.ListRunsRequest(page_token=token))) is ErrorCode.INVALID


async def test_an_attempts_files_are_of_its_runs_project_only(server):
    gateway, _, attempt = await prepared(server)
    secret = b"of another project"
    stranger = await server.gateway(project=new_id("prj"))
    await put_files(stranger, {"secret": secret})
    locate = artifacts_pb2.LocateRequest(digests=[digest_of(secret)])
    for channel in (gateway, attempt):
        stub = artifacts_pb2_grpc.ArtifactServiceStub(channel)
        assert await code_of(stub.Locate(locate)) is ErrorCode.NOT_FOUND


async def test_an_attempt_reads_what_its_run_uses_and_nothing_else(server):
    gateway, assignment, attempt = await prepared(server)
    elsewhere, entries = await put_files(gateway, {"secret": b"of the same project"})
    stub = artifacts_pb2_grpc.ArtifactServiceStub(attempt)
    refused = [
        stub.Locate(artifacts_pb2.LocateRequest(digests=[entries[0].digest])),
        stub.ReportDamage(artifacts_pb2.ReportDamageRequest(digest=entries[0].digest)),
        stub.GetManifest(artifacts_pb2.GetManifestRequest(manifest_digest=elsewhere)),
    ]
    for call in refused:
        assert await code_of(call) is ErrorCode.NOT_FOUND
    data = await stub.GetManifest(artifacts_pb2.GetManifestRequest(manifest_digest=assignment.data_digest))
    found = await stub.Locate(artifacts_pb2.LocateRequest(digests=[file.digest for file in data.files]))
    assert [place.digest for place in found.locations] == [file.digest for file in data.files]


async def test_a_checkpoint_of_its_own_opens_no_other_files_to_an_attempt(server):
    gateway, assignment, attempt = await prepared(server)
    _, entries = await put_files(gateway, {"secret": b"known by its digest only"})
    commit = attempts_pb2.CommitCheckpointRequest(attempt_id=assignment.attempt_id, step=1, files=entries)
    committed = attempts_pb2_grpc.AttemptServiceStub(attempt).CommitCheckpoint(commit)
    assert await code_of(committed) is ErrorCode.FAILED_PRECONDITION
    locate = artifacts_pb2.LocateRequest(digests=[entries[0].digest])
    assert await code_of(artifacts_pb2_grpc.ArtifactServiceStub(attempt).Locate(locate)) is ErrorCode.NOT_FOUND


async def test_an_attempt_that_has_ended_reads_and_sends_nothing(server):
    _, assignment, attempt = await prepared(server)
    finish = attempts_pb2.FinishRequest(
        attempt_id=assignment.attempt_id, outcome=runs_pb2.ATTEMPT_STATE_FAILED, final=True
    )
    await attempts_pb2_grpc.AttemptServiceStub(attempt).Finish(finish)
    stub = artifacts_pb2_grpc.ArtifactServiceStub(attempt)
    late = artifacts_pb2.InlineFile(digest=digest_of(b"late"), data=b"late")
    calls = [
        stub.GetManifest(artifacts_pb2.GetManifestRequest(manifest_digest=assignment.data_digest)),
        stub.PutInline(artifacts_pb2.PutInlineRequest(files=[late])),
        stub.CreateUpload(artifacts_pb2.CreateUploadRequest(digest=late.digest, bytes=4)),
        stub.FindMissing(artifacts_pb2.FindMissingRequest(digests=[late.digest])),
    ]
    for call in calls:
        assert await code_of(call) is ErrorCode.STALE_ATTEMPT


async def test_a_run_that_no_worker_can_take_says_why(server):
    gateway, pool = await server.gateway(), await server.pool()
    await push_dataset(gateway)
    await register_worker(pool)
    runs = runs_pb2_grpc.RunServiceStub(gateway)
    wide = await submit(gateway, "wide", resources={"ranks": 3})
    told = (await runs.GetRun(runs_pb2.GetRunRequest(id=wide.id))).run
    assert told.reason == "it needs 3 ranks, and no worker has room for more than 2"
    assert (told.waiting_reason.code, json.loads(told.waiting_reason.parameters_json)) == (
        "not_enough_ranks",
        {"needed": 3, "most": 2},
    )
    await anext(aiter(runs.WatchRun(runs_pb2.WatchRunRequest(id=wide.id))))
    usual = await submit(gateway, "usual")
    assert (await runs.GetRun(runs_pb2.GetRunRequest(id=usual.id))).run.reason == ""


async def test_the_operators_key_survives_a_restart(server):
    first = await server.principal()
    await server.restart()
    assert await server.principal() == first


def test_every_rpc_of_the_registry_has_a_policy(tmp_path, sqlite_url, s3):
    from lepton_proto.v1 import (
        deployments_pb2,
        events_pb2,
        lineage_pb2,
        models_pb2,
        projects_pb2,
    )

    modules = (
        artifacts_pb2,
        attempts_pb2,
        datasets_pb2,
        deployments_pb2,
        events_pb2,
        lineage_pb2,
        logs_pb2,
        metrics_pb2,
        models_pb2,
        projects_pb2,
        recipes_pb2,
        runs_pb2,
        workers_pb2,
    )
    methods = [
        f"/{service.full_name}/{method.name}"
        for module in modules
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    ]
    assert len(methods) > 50
    assert [method for method in methods if method not in POLICIES] == []
