"""gRPC of datasets."""

from typing import Any

import grpc
import sqlalchemy as sa

from lepton_proto.v1 import datasets_pb2 as pb
from lepton_proto.v1 import datasets_pb2_grpc as rpc
from lepton_registry.authentication import caller
from lepton_registry.database.engine import Database
from lepton_registry.datasets import store
from lepton_registry.paging import Page, name_token, number_token, page_size
from lepton_registry.rows import to_message

Context = grpc.aio.ServicerContext[Any, Any]


class DatasetServicer(rpc.DatasetServiceServicer):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def CreateDatasetVersion(
        self, request: pb.CreateDatasetVersionRequest, context: Context
    ) -> pb.CreateDatasetVersionResponse:
        principal = caller()
        row, created = await self._database.write(
            lambda conn: store.create_version(
                conn,
                principal.project,
                name=request.name,
                manifest_digest=request.manifest_digest,
                message=request.message,
                created_by=principal.id,
            )
        )
        return pb.CreateDatasetVersionResponse(version=to_message(row, pb.DatasetVersion), created=created)

    async def GetDataset(self, request: pb.GetDatasetRequest, context: Context) -> pb.GetDatasetResponse:
        project = caller().project
        row = await self._database.read(lambda conn: store.DATASET.get(conn, project, request.name))
        return pb.GetDatasetResponse(dataset=to_message(row, pb.Dataset))

    async def ListDatasets(self, request: pb.ListDatasetsRequest, context: Context) -> pb.ListDatasetsResponse:
        project, size, after = caller().project, page_size(request.page_size), name_token(request.page_token)
        page = await self._database.read(lambda conn: store.DATASET.list_parents(conn, project, after=after, size=size))
        return pb.ListDatasetsResponse(
            datasets=[to_message(row, pb.Dataset) for row in page.rows],
            next_page_token=page.rows[-1].name if page.more else "",
        )

    async def GetDatasetVersion(
        self, request: pb.GetDatasetVersionRequest, context: Context
    ) -> pb.GetDatasetVersionResponse:
        project = caller().project
        row = await self._database.read(lambda conn: store.resolve(conn, project, request.reference))
        return pb.GetDatasetVersionResponse(version=to_message(row, pb.DatasetVersion))

    async def ListDatasetVersions(
        self, request: pb.ListDatasetVersionsRequest, context: Context
    ) -> pb.ListDatasetVersionsResponse:
        project, size, before = caller().project, page_size(request.page_size), number_token(request.page_token)

        def read(conn: sa.Connection) -> Page:
            dataset = store.DATASET.get(conn, project, request.name)
            return store.DATASET.list_versions(conn, dataset.id, before=before, size=size)

        page = await self._database.read(read)
        return pb.ListDatasetVersionsResponse(
            versions=[to_message(row, pb.DatasetVersion) for row in page.rows],
            next_page_token=str(page.rows[-1].version) if page.more else "",
        )
