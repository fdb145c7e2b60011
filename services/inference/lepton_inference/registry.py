"""A typed client for the registry calls that inference needs."""

from collections.abc import AsyncIterator, Iterable, Sequence

from lepton_core.api import Location
from lepton_core.grpc.client import Channel, nobody, open_channel
from lepton_core.grpc.conversion import list_from_proto
from lepton_core.identity import Principal, PrincipalKind, Role, encode_acting
from lepton_inference.revisions import PackageFile, Revision, Target, TargetState
from lepton_proto.v1 import artifacts_pb2, deployments_pb2, projects_pb2
from lepton_proto.v1.artifacts_pb2_grpc import ArtifactServiceStub
from lepton_proto.v1.deployments_pb2_grpc import DeploymentServiceStub
from lepton_proto.v1.projects_pb2_grpc import KeyServiceStub

# Short: after a failure the next state repeats the call.
REPORT_SECONDS = 5.0

_STATES = {
    deployments_pb2.REVISION_STATE_READY: TargetState.READY,
    deployments_pb2.REVISION_STATE_FAILED: TargetState.FAILED,
}
_ROLES = {
    projects_pb2.ROLE_VIEWER: Role.VIEWER,
    projects_pb2.ROLE_EDITOR: Role.EDITOR,
    projects_pb2.ROLE_ADMIN: Role.ADMIN,
    projects_pb2.ROLE_OPERATOR: Role.OPERATOR,
}


class RegistryClient:
    def __init__(self, address: str, token: str, replica_id: str) -> None:
        self._channel: Channel = open_channel(address, token, acting=nobody)
        self._replica_id = replica_id
        self._deployments = DeploymentServiceStub(self._channel)
        self._keys = KeyServiceStub(self._channel)
        self._artifacts = ArtifactServiceStub(self._channel)

    async def close(self) -> None:
        await self._channel.close()

    async def watch(self) -> AsyncIterator[list[Target]]:
        """The full state: on connect, after each change and at intervals. Raises if the stream breaks."""
        request = deployments_pb2.WatchServingRequest(replica_id=self._replica_id)
        async for answer in self._deployments.WatchServing(request):
            yield [_target(target) for target in answer.targets]

    async def report(self, revision: Revision, reason: str) -> None:
        ready = deployments_pb2.REVISION_STATE_READY
        state = deployments_pb2.REVISION_STATE_FAILED if reason else ready
        request = deployments_pb2.ReportRevisionRequest(
            revision_id=revision.id, replica_id=self._replica_id, state=state, reason=reason[:2000]
        )
        await self._deployments.ReportRevision(request, timeout=REPORT_SECONDS)

    async def verify_key(self, key_id: str, token_sha256: str) -> Principal:
        request = projects_pb2.VerifyKeyRequest(id=key_id, token_sha256=token_sha256)
        key = (await self._keys.VerifyKey(request)).key
        return Principal(PrincipalKind.KEY, key.id, project=key.project, role=_ROLES.get(key.role))

    async def locate(self, project: str, digests: Sequence[str]) -> list[Location]:
        request = artifacts_pb2.LocateRequest(digests=digests)
        answer = await self._artifacts.Locate(request, metadata=_acting(project))
        return list_from_proto(answer.locations, Location)

    async def report_damage(self, project: str, digest: str) -> None:
        await self._artifacts.ReportDamage(artifacts_pb2.ReportDamageRequest(digest=digest), metadata=_acting(project))


def _acting(project: str) -> list[tuple[str, str]]:
    # Files belong to a project, so inference acts for each project that it serves.
    reader = Principal(PrincipalKind.SERVICE, "inference", project=project, role=Role.VIEWER)
    return [("x-lepton-acting", encode_acting(reader))]


def _target(target: deployments_pb2.ServingTarget) -> Target:
    deployment = target.deployment
    desired = deployment.desired if deployment.HasField("desired") else None
    last_good = deployment.last_good if deployment.HasField("last_good") else None
    return Target(
        deployment.project,
        deployment.name,
        _revision(deployment, desired, target.desired_files) if desired else None,
        _revision(deployment, last_good, target.last_good_files) if last_good else None,
        _STATES.get(desired.state, TargetState.PENDING) if desired else TargetState.PENDING,
    )


def _revision(
    deployment: deployments_pb2.Deployment, revision: deployments_pb2.Revision, files: Iterable[artifacts_pb2.FileEntry]
) -> Revision:
    return Revision(
        id=revision.id,
        project=deployment.project,
        deployment=deployment.name,
        model=revision.model,
        version=revision.model_version,
        version_id=revision.model_version_id,
        files=tuple(PackageFile(file.path, file.digest, file.bytes) for file in files),
    )
