"""gRPC of models."""

from collections.abc import Sequence
from typing import Any

import grpc
import sqlalchemy as sa

from lepton_proto.v1 import models_pb2 as pb
from lepton_proto.v1 import models_pb2_grpc as rpc
from lepton_registry.authentication import caller
from lepton_registry.database.engine import Database
from lepton_registry.models import aliases, store
from lepton_registry.models.messages import model_messages, version_messages
from lepton_registry.models.package import PackageInspector
from lepton_registry.paging import name_token, number_token, page_size
from lepton_registry.rows import to_message

Context = grpc.aio.ServicerContext[Any, Any]


class ModelServicer(rpc.ModelServiceServicer):
    def __init__(
        self, database: Database, inspector: PackageInspector, followers: Sequence[aliases.AliasFollowers]
    ) -> None:
        self._database = database
        self._inspector = inspector
        self._followers = followers

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        project = caller().project
        models = await self._database.read(
            lambda conn: model_messages(conn, [store.MODEL.get(conn, project, request.name)])
        )
        return pb.GetModelResponse(model=models[0])

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        project, size, after = caller().project, page_size(request.page_size), name_token(request.page_token)

        def work(conn: sa.Connection) -> tuple[list[pb.Model], bool]:
            page = store.MODEL.list_parents(conn, project, after=after, size=size)
            return model_messages(conn, page.rows), page.more

        models, more = await self._database.read(work)
        return pb.ListModelsResponse(models=models, next_page_token=models[-1].name if more else "")

    async def GetModelVersion(self, request: pb.GetModelVersionRequest, context: Context) -> pb.GetModelVersionResponse:
        project = caller().project
        versions = await self._database.read(
            lambda conn: version_messages(conn, [store.resolve(conn, project, request.reference)], with_files=True)
        )
        return pb.GetModelVersionResponse(version=versions[0])

    async def ListModelVersions(
        self, request: pb.ListModelVersionsRequest, context: Context
    ) -> pb.ListModelVersionsResponse:
        project, size, before = caller().project, page_size(request.page_size), number_token(request.page_token)

        def work(conn: sa.Connection) -> tuple[list[pb.ModelVersion], bool]:
            model = store.MODEL.get(conn, project, request.name)
            page = store.MODEL.list_versions(conn, model.id, before=before, size=size)
            return version_messages(conn, page.rows, with_files=False), page.more

        versions, more = await self._database.read(work)
        token = str(versions[-1].version) if more else ""
        return pb.ListModelVersionsResponse(versions=versions, next_page_token=token)

    async def ImportModelVersion(
        self, request: pb.ImportModelVersionRequest, context: Context
    ) -> pb.ImportModelVersionResponse:
        principal = caller()
        package = await self._inspector.inspect(principal.project, request.files)

        def work(conn: sa.Connection) -> tuple[pb.ModelVersion, bool]:
            row, created = store.register_version(
                conn,
                principal.project,
                model=request.name,
                files=package.files,
                signature_json=package.signature_json,
                card_json=package.card_json,
                created_by=principal.id,
            )
            return version_messages(conn, [row], with_files=True)[0], created

        version, created = await self._database.write(work)
        return pb.ImportModelVersionResponse(version=version, created=created)

    async def SetAlias(self, request: pb.SetAliasRequest, context: Context) -> pb.SetAliasResponse:
        principal = caller()
        row = await self._database.write(
            lambda conn: aliases.set_alias(
                conn,
                principal.project,
                model=request.model,
                alias=request.alias,
                version=request.version,
                expected_version=request.expected_version,
                updated_by=principal.id,
                followers=self._followers,
            )
        )
        return pb.SetAliasResponse(alias=to_message(row, pb.Alias))

    async def DeleteAlias(self, request: pb.DeleteAliasRequest, context: Context) -> pb.DeleteAliasResponse:
        project = caller().project
        await self._database.write(
            lambda conn: aliases.delete_alias(
                conn, project, model=request.model, alias=request.alias, followers=self._followers
            )
        )
        return pb.DeleteAliasResponse()
