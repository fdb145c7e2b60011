"""A database that the first release wrote is upgraded, and everything in it is read by today's servicers."""

import contextlib
import gzip
import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from lepton_core.ids import digest_of, new_id
from lepton_core.objects.store import ObjectStore
from lepton_proto.v1 import (
    artifacts_pb2,
    artifacts_pb2_grpc,
    datasets_pb2,
    datasets_pb2_grpc,
    deployments_pb2,
    deployments_pb2_grpc,
    events_pb2,
    events_pb2_grpc,
    lineage_pb2,
    lineage_pb2_grpc,
    logs_pb2,
    logs_pb2_grpc,
    metrics_pb2,
    metrics_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    projects_pb2,
    projects_pb2_grpc,
    recipes_pb2,
    recipes_pb2_grpc,
    runs_pb2,
    runs_pb2_grpc,
    workers_pb2,
    workers_pb2_grpc,
)

from .conftest import Server

BASELINE = Path(__file__).parent / "baseline"
RELEASED = "2026_11_21_1135"
# The bytes of logs lie in the object store, which is no part of the baseline.
LOG = b"epoch 1\n"


def restore(url: str) -> None:
    """Put the rows of the first release into an empty database."""
    if url.startswith("sqlite"):
        packed = (BASELINE / "baseline.db.gz").read_bytes()
        Path(url.removeprefix("sqlite:///")).write_bytes(gzip.decompress(packed))
        return
    statements = gzip.decompress((BASELINE / "baseline.sql.gz").read_bytes()).decode()
    engine = sa.create_engine(url)
    with contextlib.closing(engine.raw_connection()) as connection:
        connection.cursor().execute(statements)
        connection.commit()
    engine.dispose()


@pytest.fixture
async def released(configured):
    settings, tokens = configured
    restore(settings.database_url)
    engine = sa.create_engine(settings.database_url)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == RELEASED
        tables = [name for name in sa.inspect(connection).get_table_names() if name != "locks"]
        # A table without a row would prove nothing.
        assert [name for name in tables if not connection.scalar(sa.text(f"SELECT count(*) FROM {name}"))] == []
        [log_key] = connection.scalars(sa.text("SELECT object_key FROM log_chunks"))
    engine.dispose()
    server = Server(settings, tokens)
    await server.start()
    store = settings.object_store
    secret = store.secret_key.get_secret_value()
    objects = ObjectStore(store.endpoint, store.access_key.get_secret_value(), secret, bucket=store.bucket)
    objects.put(log_key, LOG)
    yield server
    await server.stop()


async def runs_by_name(gateway) -> dict[str, runs_pb2.Run]:
    answer = await runs_pb2_grpc.RunServiceStub(gateway).ListRuns(runs_pb2.ListRunsRequest())
    return {f"{run.name}{' again' if run.retry_of else ''}": run for run in answer.runs}


async def test_runs_of_the_first_release_are_read(released):
    gateway = await released.gateway()
    runs = await runs_by_name(gateway)
    states = {name: runs_pb2.RunState.Name(run.state).removeprefix("RUN_STATE_") for name, run in runs.items()}
    assert states == {"job": "SUCCEEDED", "fails": "FAILED", "waits": "QUEUED", "fails again": "QUEUED"}
    done = runs["job"]
    assert json.loads(done.metrics_json) == {"accuracy": 0.9, "loss": 0.25}
    assert json.loads(done.spec_json)["labels"] == {"team": "vision", "stage": "dev"}
    stub = runs_pb2_grpc.RunServiceStub(gateway)
    for run in runs.values():
        one = (await stub.GetRun(runs_pb2.GetRunRequest(id=run.id))).run
        assert (one.spec_json, one.state) == (run.spec_json, run.state)
    [attempt] = (await stub.ListAttempts(runs_pb2.ListAttemptsRequest(run_id=done.id))).attempts
    assert attempt.state == runs_pb2.ATTEMPT_STATE_SUCCEEDED
    [failed] = (await stub.ListAttempts(runs_pb2.ListAttemptsRequest(run_id=runs["fails"].id))).attempts
    assert failed.reason == "ValueError: the loss is not finite"
    [checkpoint] = (await stub.ListCheckpoints(runs_pb2.ListCheckpointsRequest(run_id=done.id))).checkpoints
    assert (checkpoint.step, json.loads(checkpoint.metrics_json)) == (1, {"accuracy": 0.75})
    query = metrics_pb2.QueryMetricsRequest(run_id=done.id)
    points = (await metrics_pb2_grpc.MetricServiceStub(gateway).QueryMetrics(query)).points
    assert [(point.key, point.step, point.value) for point in points] == [("loss", 1, 0.25)]
    log = await logs_pb2_grpc.LogServiceStub(gateway).ReadLog(logs_pb2.ReadLogRequest(run_id=done.id))
    assert [(chunk.stream, chunk.data) for chunk in log.chunks] == [("rank-0", LOG)]


async def test_data_models_and_deployments_of_the_first_release_are_read(released):
    gateway = await released.gateway()
    datasets = datasets_pb2_grpc.DatasetServiceStub(gateway)
    assert [each.name for each in (await datasets.ListDatasets(datasets_pb2.ListDatasetsRequest())).datasets] == [
        "digits"
    ]
    reference = datasets_pb2.GetDatasetVersionRequest(reference="digits@latest")
    data = (await datasets.GetDatasetVersion(reference)).version
    artifacts = artifacts_pb2_grpc.ArtifactServiceStub(gateway)
    manifest = await artifacts.GetManifest(artifacts_pb2.GetManifestRequest(manifest_digest=data.digest))
    assert [file.path for file in manifest.files] == ["train.csv"]
    found = await artifacts.Locate(artifacts_pb2.LocateRequest(digests=[manifest.files[0].digest]))
    assert found.locations[0].bytes == len(b"a,b\n1,2\n")
    models = models_pb2_grpc.ModelServiceStub(gateway)
    names = {each.name: each for each in (await models.ListModels(models_pb2.ListModelsRequest())).models}
    assert names.keys() == {"digits", "imported"}
    assert [(alias.name, alias.version) for alias in names["digits"].aliases] == [("champion", 1)]
    champion = models_pb2.GetModelVersionRequest(reference="digits@champion")
    version = (await models.GetModelVersion(champion)).version
    assert json.loads(version.card_json) == {"task": "classification", "limits": "none known"}
    assert json.loads(version.evaluation_json) == {"confusion": [[1, 0], [0, 1]]}
    deployments = deployments_pb2_grpc.DeploymentServiceStub(gateway)
    [deployment] = (await deployments.ListDeployments(deployments_pb2.ListDeploymentsRequest())).deployments
    assert (deployment.name, deployment.alias, deployment.last_good.model_version) == ("api", "champion", 1)
    revisions = await deployments.ListRevisions(deployments_pb2.ListRevisionsRequest(name="api"))
    assert [each.number for each in revisions.revisions] == [1]
    lineage = lineage_pb2_grpc.LineageServiceStub(gateway)
    graph = await lineage.GetLineage(lineage_pb2.GetLineageRequest(id=version.id))
    kinds = {node.kind for node in graph.nodes}
    assert kinds >= {"model_version", "run", "dataset_version", "code", "environment"}


async def test_projects_workers_and_events_of_the_first_release_are_read(released):
    gateway = await released.gateway()
    projects = projects_pb2_grpc.ProjectServiceStub(gateway)
    listed = (await projects.ListProjects(projects_pb2.ListProjectsRequest())).projects
    assert {project.name for project in listed} == {"default", "other"}
    keys = (await projects_pb2_grpc.KeyServiceStub(gateway).ListKeys(projects_pb2.ListKeysRequest())).keys
    assert "reader" in {key.name for key in keys}
    recipes = await recipes_pb2_grpc.RecipeServiceStub(gateway).ListRecipes(recipes_pb2.ListRecipesRequest())
    assert [(recipe.name, recipe.version) for recipe in recipes.recipes] == [("r", "1")]
    workers = await workers_pb2_grpc.WorkerServiceStub(gateway).ListWorkers(workers_pb2.ListWorkersRequest())
    assert [worker.hostname for worker in workers.workers] == ["host"]
    events = await events_pb2_grpc.EventServiceStub(gateway).ListEvents(events_pb2.ListEventsRequest())
    types = {event.type for event in events.events}
    assert types >= {"dev.lepton.run.queued.v1", "dev.lepton.run.succeeded.v1", "dev.lepton.run.failed.v1"}


async def test_what_the_first_release_sent_need_not_be_sent_again(released):
    gateway = await released.gateway()
    artifacts = artifacts_pb2_grpc.ArtifactServiceStub(gateway)
    known, unknown = digest_of(b"a,b\n1,2\n"), digest_of(new_id("run").encode())
    missing = await artifacts.FindMissing(artifacts_pb2.FindMissingRequest(digests=[known, unknown]))
    assert list(missing.digests) == [unknown]
