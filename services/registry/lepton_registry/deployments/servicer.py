"""gRPC of deployments."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import sqlalchemy as sa

from lepton_core.errors import invalid
from lepton_proto.v1 import deployments_pb2 as pb
from lepton_proto.v1 import deployments_pb2_grpc as rpc
from lepton_registry.authentication import caller
from lepton_registry.database.engine import Database
from lepton_registry.deployments import revisions, store
from lepton_registry.deployments.messages import deployment_messages
from lepton_registry.deployments.watch import ServingWatch
from lepton_registry.rows import to_message

Context = grpc.aio.ServicerContext[Any, Any]
_REPORTED = {pb.REVISION_STATE_READY: revisions.READY, pb.REVISION_STATE_FAILED: revisions.FAILED}


class DeploymentServicer(rpc.DeploymentServiceServicer):
    def __init__(self, database: Database, watch: ServingWatch) -> None:
        self._database = database
        self._watch = watch

    async def CreateDeployment(
        self, request: pb.CreateDeploymentRequest, context: Context
    ) -> pb.CreateDeploymentResponse:
        principal = caller()

        def work(conn: sa.Connection) -> tuple[pb.Deployment, bool]:
            row, created = store.create(
                conn, principal.project, name=request.name, model=request.model, created_by=principal.id
            )
            return deployment_messages(conn, [row])[0], created

        deployment, created = await self._database.write(work)
        return pb.CreateDeploymentResponse(deployment=deployment, created=created)

    async def GetDeployment(self, request: pb.GetDeploymentRequest, context: Context) -> pb.GetDeploymentResponse:
        project = caller().project
        deployments = await self._database.read(
            lambda conn: deployment_messages(conn, [store.get(conn, project, request.name)])
        )
        return pb.GetDeploymentResponse(deployment=deployments[0])

    async def ListDeployments(self, request: pb.ListDeploymentsRequest, context: Context) -> pb.ListDeploymentsResponse:
        project = caller().project
        deployments = await self._database.read(
            lambda conn: deployment_messages(conn, store.list_deployments(conn, project))
        )
        return pb.ListDeploymentsResponse(deployments=deployments)

    async def UpdateDeployment(
        self, request: pb.UpdateDeploymentRequest, context: Context
    ) -> pb.UpdateDeploymentResponse:
        principal = caller()
        deployment = await self._change(
            lambda conn: store.update(
                conn, principal.project, name=request.name, model=request.model, updated_by=principal.id
            )
        )
        return pb.UpdateDeploymentResponse(deployment=deployment)

    async def RollbackDeployment(
        self, request: pb.RollbackDeploymentRequest, context: Context
    ) -> pb.RollbackDeploymentResponse:
        principal = caller()
        deployment = await self._change(
            lambda conn: store.rollback(
                conn, principal.project, name=request.name, revision=request.revision, created_by=principal.id
            )
        )
        return pb.RollbackDeploymentResponse(deployment=deployment)

    async def DeleteDeployment(
        self, request: pb.DeleteDeploymentRequest, context: Context
    ) -> pb.DeleteDeploymentResponse:
        project = caller().project
        await self._database.write(lambda conn: store.delete(conn, project, name=request.name))
        return pb.DeleteDeploymentResponse()

    async def ListRevisions(self, request: pb.ListRevisionsRequest, context: Context) -> pb.ListRevisionsResponse:
        project = caller().project
        rows = await self._database.read(
            lambda conn: revisions.list_revisions(conn, store.get(conn, project, request.name).id)
        )
        return pb.ListRevisionsResponse(revisions=[to_message(row, pb.Revision) for row in rows])

    async def WatchServing(
        self, request: pb.WatchServingRequest, context: Context
    ) -> AsyncIterator[pb.WatchServingResponse]:
        async for targets in self._watch.states():
            yield pb.WatchServingResponse(targets=targets)

    async def ReportRevision(self, request: pb.ReportRevisionRequest, context: Context) -> pb.ReportRevisionResponse:
        state = _REPORTED.get(request.state)
        if state is None:
            raise invalid("state", "cannot be reported by a replica", request.state, "READY or FAILED")
        await self._database.write(
            lambda conn: revisions.report(
                conn,
                revision_id=request.revision_id,
                replica_id=request.replica_id,
                state=state,
                reason=request.reason,
            )
        )
        return pb.ReportRevisionResponse()

    async def _change(self, change: Callable[[sa.Connection], sa.Row[Any]]) -> pb.Deployment:
        return await self._database.write(lambda conn: deployment_messages(conn, [change(conn)])[0])
