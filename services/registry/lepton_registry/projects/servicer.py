"""gRPC of projects and keys."""

from typing import Any

import grpc

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.grpc.conversion import enum_from_proto
from lepton_core.identity import Principal, Role, current_principal
from lepton_proto.v1 import projects_pb2 as pb
from lepton_proto.v1 import projects_pb2_grpc as rpc
from lepton_registry.authentication import caller
from lepton_registry.database.engine import Database
from lepton_registry.projects import store
from lepton_registry.rows import to_message

Context = grpc.aio.ServicerContext[Any, Any]
_ROLE = pb.Role.DESCRIPTOR


class ProjectServicer(rpc.ProjectServiceServicer):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def CreateProject(self, request: pb.CreateProjectRequest, context: Context) -> pb.CreateProjectResponse:
        row = await self._database.write(lambda conn: store.create_project(conn, request.name))
        return pb.CreateProjectResponse(project=to_message(row, pb.Project))

    async def ListProjects(self, request: pb.ListProjectsRequest, context: Context) -> pb.ListProjectsResponse:
        rows = await self._database.read(store.list_projects)
        return pb.ListProjectsResponse(projects=[to_message(row, pb.Project) for row in rows])


class KeyServicer(rpc.KeyServiceServicer):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def CreateKey(self, request: pb.CreateKeyRequest, context: Context) -> pb.CreateKeyResponse:
        principal = current_principal()
        role = enum_from_proto(request.role, _ROLE, Role)
        if not isinstance(role, Role):
            raise invalid("role", "required", None, ", ".join(Role))
        if principal.role is None or not principal.role.includes(role):
            raise LeptonError(ErrorCode.PERMISSION_DENIED, f"a key of role {role.value!r} needs that role or above")
        chosen = await self._chosen_project(principal, request.project)
        row, token = await self._database.write(
            lambda conn: store.create_key(
                conn,
                project=chosen,
                name=request.name,
                role=role,
                ttl_seconds=request.ttl_seconds,
                created_by=principal.id,
            )
        )
        return pb.CreateKeyResponse(key=to_message(row, pb.ApiKey), secret=token)

    async def _chosen_project(self, principal: Principal, wanted: str) -> str:
        if not wanted or wanted == principal.project:
            return caller().project
        if not principal.has_role(Role.OPERATOR):
            raise LeptonError(ErrorCode.PERMISSION_DENIED, "only an operator may make keys of another project")
        row = await self._database.read(lambda conn: store.find_project(conn, wanted))
        return str(row.id)

    async def ListKeys(self, request: pb.ListKeysRequest, context: Context) -> pb.ListKeysResponse:
        project = caller().project
        rows = await self._database.read(lambda conn: store.list_keys(conn, project))
        return pb.ListKeysResponse(keys=[to_message(row, pb.ApiKey) for row in rows])

    async def RevokeKey(self, request: pb.RevokeKeyRequest, context: Context) -> pb.RevokeKeyResponse:
        principal = caller()
        row = await self._database.write(
            lambda conn: store.revoke_key(conn, principal.project, request.id, principal.id)
        )
        return pb.RevokeKeyResponse(key=to_message(row, pb.ApiKey))

    async def VerifyKey(self, request: pb.VerifyKeyRequest, context: Context) -> pb.VerifyKeyResponse:
        row = await self._database.read(lambda conn: store.verify_key(conn, request.id, request.token_sha256))
        return pb.VerifyKeyResponse(key=to_message(row, pb.ApiKey))
