"""All that clients of the registry can read. It imports only the contracts, so it runs in the tree of each release."""

from typing import Any

from google.protobuf.json_format import MessageToDict

from lepton_proto.v1 import artifacts_pb2 as artifacts
from lepton_proto.v1 import artifacts_pb2_grpc as artifacts_rpc
from lepton_proto.v1 import datasets_pb2 as datasets
from lepton_proto.v1 import datasets_pb2_grpc as datasets_rpc
from lepton_proto.v1 import deployments_pb2 as deployments
from lepton_proto.v1 import deployments_pb2_grpc as deployments_rpc
from lepton_proto.v1 import events_pb2 as events
from lepton_proto.v1 import events_pb2_grpc as events_rpc
from lepton_proto.v1 import lineage_pb2 as lineage
from lepton_proto.v1 import lineage_pb2_grpc as lineage_rpc
from lepton_proto.v1 import logs_pb2 as logs
from lepton_proto.v1 import logs_pb2_grpc as logs_rpc
from lepton_proto.v1 import metrics_pb2 as metrics
from lepton_proto.v1 import metrics_pb2_grpc as metrics_rpc
from lepton_proto.v1 import models_pb2 as models
from lepton_proto.v1 import models_pb2_grpc as models_rpc
from lepton_proto.v1 import projects_pb2 as projects
from lepton_proto.v1 import projects_pb2_grpc as projects_rpc
from lepton_proto.v1 import recipes_pb2 as recipes
from lepton_proto.v1 import recipes_pb2_grpc as recipes_rpc
from lepton_proto.v1 import runs_pb2 as runs
from lepton_proto.v1 import runs_pb2_grpc as runs_rpc
from lepton_proto.v1 import workers_pb2 as workers
from lepton_proto.v1 import workers_pb2_grpc as workers_rpc

Answers = dict[str, Any]


async def read_everything(gateway: Any) -> Answers:
    """Call → its answer as JSON, with the names of the contracts."""
    found = await _read_lists(gateway)
    found |= await _read_data(gateway, found)
    for run in found["runs"]["runs"]:
        found |= await _read_run(gateway, run["id"])
    for deployment in found["deployments"]["deployments"]:
        request = deployments.ListRevisionsRequest(name=deployment["name"])
        answer = await deployments_rpc.DeploymentServiceStub(gateway).ListRevisions(request)
        found[f"revisions of {deployment['name']}"] = _json(answer)
    return found


async def _read_lists(gateway: Any) -> Answers:
    answers = {
        "projects": await projects_rpc.ProjectServiceStub(gateway).ListProjects(projects.ListProjectsRequest()),
        "keys": await projects_rpc.KeyServiceStub(gateway).ListKeys(projects.ListKeysRequest()),
        "recipes": await recipes_rpc.RecipeServiceStub(gateway).ListRecipes(recipes.ListRecipesRequest()),
        "workers": await workers_rpc.WorkerServiceStub(gateway).ListWorkers(workers.ListWorkersRequest()),
        "runs": await runs_rpc.RunServiceStub(gateway).ListRuns(runs.ListRunsRequest()),
        "datasets": await datasets_rpc.DatasetServiceStub(gateway).ListDatasets(datasets.ListDatasetsRequest()),
        "models": await models_rpc.ModelServiceStub(gateway).ListModels(models.ListModelsRequest()),
        "deployments": await deployments_rpc.DeploymentServiceStub(gateway).ListDeployments(
            deployments.ListDeploymentsRequest()
        ),
        "events": await events_rpc.EventServiceStub(gateway).ListEvents(events.ListEventsRequest(limit=500)),
    }
    return {call: _json(answer) for call, answer in answers.items()}


async def _read_run(gateway: Any, run_id: str) -> Answers:
    stub = runs_rpc.RunServiceStub(gateway)
    query = metrics.QueryMetricsRequest(run_id=run_id)
    answers = {
        "run": await stub.GetRun(runs.GetRunRequest(id=run_id)),
        "attempts of": await stub.ListAttempts(runs.ListAttemptsRequest(run_id=run_id)),
        "checkpoints of": await stub.ListCheckpoints(runs.ListCheckpointsRequest(run_id=run_id)),
        "metrics of": await metrics_rpc.MetricServiceStub(gateway).QueryMetrics(query),
        "log of": await logs_rpc.LogServiceStub(gateway).ReadLog(logs.ReadLogRequest(run_id=run_id)),
    }
    found = {f"{call} {run_id}": _json(answer) for call, answer in answers.items()}
    return found | {f"lineage of {run_id}": await _lineage(gateway, run_id)}


async def _read_data(gateway: Any, found: Answers) -> Answers:
    """Versions of datasets and models, and the files of both."""
    answers: Answers = {}
    digests = []
    for dataset in found["datasets"]["datasets"]:
        of_dataset = datasets.ListDatasetVersionsRequest(name=dataset["name"])
        versions = await datasets_rpc.DatasetServiceStub(gateway).ListDatasetVersions(of_dataset)
        answers[f"versions of dataset {dataset['name']}"] = _json(versions)
        digests += [version.digest for version in versions.versions]
    stub = models_rpc.ModelServiceStub(gateway)
    for model in found["models"]["models"]:
        listed = await stub.ListModelVersions(models.ListModelVersionsRequest(name=model["name"]))
        for version in listed.versions:
            reference = f"{model['name']}@{version.version}"
            one = await stub.GetModelVersion(models.GetModelVersionRequest(reference=reference))
            answers[f"model version {reference}"] = _json(one)
            answers[f"lineage of {reference}"] = await _lineage(gateway, version.id)
            digests.append(version.digest)
    for digest in digests:
        request = artifacts.GetManifestRequest(manifest_digest=digest)
        manifest = await artifacts_rpc.ArtifactServiceStub(gateway).GetManifest(request)
        answers[f"files of {digest}"] = _json(manifest)
    return answers


async def _lineage(gateway: Any, name: str) -> Answers:
    """Sorted: a graph has no order."""
    request = lineage.GetLineageRequest(id=name, direction=lineage.LINEAGE_DIRECTION_BOTH)
    graph = await lineage_rpc.LineageServiceStub(gateway).GetLineage(request)
    graph.nodes.sort(key=lambda node: node.id)
    graph.edges.sort(key=lambda edge: (edge.from_id, edge.relation, edge.to_id))
    return _json(graph)


def _json(message: Any) -> Answers:
    return MessageToDict(message, preserving_proto_field_name=True)
