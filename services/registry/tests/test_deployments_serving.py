"""Over gRPC, with a real store: a package is imported, promoted, deployed, watched, and found by a prediction's id."""

import asyncio
import json

import onnx
import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity import Principal, PrincipalKind, Role
from lepton_core.ids import digest_of, new_ulid
from lepton_proto.v1 import (
    artifacts_pb2,
    artifacts_pb2_grpc,
    deployments_pb2,
    deployments_pb2_grpc,
    lineage_pb2,
    lineage_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
)

TENSOR = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
SIGNATURE = json.dumps({"inputs": [TENSOR], "model_inputs": [TENSOR], "outputs": [TENSOR | {"name": "y"}]}).encode()


def onnx_model(constant: float) -> bytes:
    helper, types = onnx.helper, onnx.TensorProto
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "c"], ["y"])],
        "graph",
        [value("x", types.FLOAT, [None, 4])],
        [value("y", types.FLOAT, [None, 4])],
        [helper.make_tensor("c", types.FLOAT, [1], [constant])],
    )
    return helper.make_model(graph).SerializeToString()


class Caller:
    """The gateway, acting for one person."""

    def __init__(self, channel) -> None:
        self.artifacts = artifacts_pb2_grpc.ArtifactServiceStub(channel)
        self.models = models_pb2_grpc.ModelServiceStub(channel)
        self.deployments = deployments_pb2_grpc.DeploymentServiceStub(channel)
        self.lineage = lineage_pb2_grpc.LineageServiceStub(channel)

    async def put(self, contents: dict[str, bytes]) -> list[artifacts_pb2.FileEntry]:
        files = [artifacts_pb2.InlineFile(digest=digest_of(data), data=data) for data in contents.values()]
        await self.artifacts.PutInline(artifacts_pb2.PutInlineRequest(files=files))
        return [
            artifacts_pb2.FileEntry(path=path, digest=digest_of(data), bytes=len(data))
            for path, data in contents.items()
        ]

    async def model(self, constant: float) -> models_pb2.ModelVersion:
        files = await self.put({"model.onnx": onnx_model(constant), "signature.json": SIGNATURE})
        request = models_pb2.ImportModelVersionRequest(name="digits", files=files)
        return (await self.models.ImportModelVersion(request)).version

    async def promote(self, version: int) -> None:
        await self.models.SetAlias(models_pb2.SetAliasRequest(model="digits", alias="champion", version=version))


@pytest.fixture
async def caller(server) -> Caller:
    return Caller(await server.gateway())


async def code_of(call) -> ErrorCode:
    with pytest.raises(LeptonError) as raised:
        await call
    return raised.value.code


async def test_from_a_package_to_the_lineage_of_a_prediction(server, caller):
    first = await caller.model(1.0)
    assert (first.version, [file.path for file in first.files]) == (1, ["model.onnx", "signature.json"])
    await caller.promote(1)
    create = deployments_pb2.CreateDeploymentRequest(name="digits", model="digits@champion")
    made = await caller.deployments.CreateDeployment(create)
    assert (made.created, made.deployment.alias, made.deployment.desired.number) == (True, "champion", 1)

    inference = deployments_pb2_grpc.DeploymentServiceStub(await server.channel(server.tokens["inference"]))
    async with asyncio.timeout(20):
        states = inference.WatchServing(deployments_pb2.WatchServingRequest(replica_id="r1")).__aiter__()
        [target] = (await anext(states)).targets
        assert [file.path for file in target.desired_files] == ["model.onnx", "signature.json"]
        await inference.ReportRevision(
            deployments_pb2.ReportRevisionRequest(
                revision_id=target.deployment.desired.id,
                replica_id="r1",
                state=deployments_pb2.REVISION_STATE_READY,
            )
        )
        [target] = (await anext(states)).targets
        assert target.deployment.last_good.id == target.deployment.desired.id
        await caller.model(2.0)
        await caller.promote(2)
        [target] = (await anext(states)).targets
        assert (target.deployment.desired.model_version, target.deployment.last_good.model_version) == (2, 1)

    prediction = f"pred_{target.deployment.last_good.id.removeprefix('rev_')}_{new_ulid()}"
    found = await caller.lineage.GetLineage(lineage_pb2.GetLineageRequest(id=prediction))
    assert found.root_id == prediction
    assert [(edge.relation, edge.to_id) for edge in found.edges] == [
        ("answered_by", target.deployment.last_good.id),
        ("serves", first.id),
    ]
    assert [(node.kind, node.name) for node in found.nodes] == [
        ("prediction", prediction),
        ("revision", "digits#1"),
        ("model_version", "digits@1"),
    ]


async def test_files_of_a_model_are_read_by_inference_acting_for_its_project(server, caller):
    version = await caller.model(1.0)
    viewer = Principal(PrincipalKind.SERVICE, "inference", project=version.project, role=Role.VIEWER)
    stub = artifacts_pb2_grpc.ArtifactServiceStub(await server.channel(server.tokens["inference"], viewer))
    request = artifacts_pb2.LocateRequest(digests=[file.digest for file in version.files])
    assert len((await stub.Locate(request)).locations) == 2
    other = Principal(PrincipalKind.SERVICE, "inference", project="prj_other", role=Role.VIEWER)
    stranger = artifacts_pb2_grpc.ArtifactServiceStub(await server.channel(server.tokens["inference"], other))
    assert await code_of(stranger.Locate(request)) is ErrorCode.NOT_FOUND
    nobody = artifacts_pb2_grpc.ArtifactServiceStub(await server.channel(server.tokens["inference"]))
    assert await code_of(nobody.Locate(request)) in (ErrorCode.PERMISSION_DENIED, ErrorCode.UNAUTHENTICATED)


async def test_an_import_of_a_pickle_registers_nothing(caller):
    files = await caller.put({"model.onnx": b"\x80\x04c__builtin__\nexec\n.", "signature.json": SIGNATURE})
    request = models_pb2.ImportModelVersionRequest(name="digits", files=files)
    assert await code_of(caller.models.ImportModelVersion(request)) is ErrorCode.INVALID
    assert await code_of(caller.models.GetModel(models_pb2.GetModelRequest(name="digits"))) is ErrorCode.NOT_FOUND


async def test_lists_rollback_and_delete(caller):
    for constant in (1.0, 2.0):
        await caller.model(constant)
    await caller.promote(2)
    listed = await caller.models.ListModelVersions(models_pb2.ListModelVersionsRequest(name="digits", page_size=1))
    assert ([each.version for each in listed.versions], listed.next_page_token) == ([2], "2")
    assert list(listed.versions[0].aliases) == ["champion"]
    rest = models_pb2.ListModelVersionsRequest(name="digits", page_size=1, page_token=listed.next_page_token)
    page = await caller.models.ListModelVersions(rest)
    assert ([each.version for each in page.versions], page.next_page_token) == ([1], "")
    models = (await caller.models.ListModels(models_pb2.ListModelsRequest())).models
    assert [(alias.name, alias.version) for alias in models[0].aliases] == [("champion", 2)]

    await caller.deployments.CreateDeployment(deployments_pb2.CreateDeploymentRequest(name="api", model="digits@1"))
    await caller.deployments.UpdateDeployment(deployments_pb2.UpdateDeploymentRequest(name="api", model="digits@2"))
    rolled = await caller.deployments.RollbackDeployment(deployments_pb2.RollbackDeploymentRequest(name="api"))
    assert rolled.deployment.desired.model_version == 1
    revisions = await caller.deployments.ListRevisions(deployments_pb2.ListRevisionsRequest(name="api"))
    assert [(each.number, each.model_version) for each in revisions.revisions] == [(3, 1), (2, 2), (1, 1)]
    await caller.deployments.DeleteDeployment(deployments_pb2.DeleteDeploymentRequest(name="api"))
    left = await caller.deployments.ListDeployments(deployments_pb2.ListDeploymentsRequest())
    assert list(left.deployments) == []


async def test_a_viewer_changes_nothing(server):
    viewer = Caller(await server.gateway(Role.VIEWER))
    await viewer.models.ListModels(models_pb2.ListModelsRequest())
    for call in (
        viewer.models.SetAlias(models_pb2.SetAliasRequest(model="digits", alias="champion", version=1)),
        viewer.artifacts.PutInline(artifacts_pb2.PutInlineRequest()),
        viewer.deployments.DeleteDeployment(deployments_pb2.DeleteDeploymentRequest(name="api")),
    ):
        assert await code_of(call) is ErrorCode.PERMISSION_DENIED
