"""Projects, keys, recipes, workers."""

from __future__ import annotations

import grpc.aio

from lepton_core.api import ApiKey, Project, Recipe, Worker
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.grpc import conversion
from lepton_core.identity import Principal, PrincipalKind, Role
from lepton_gateway.registry.channel import models
from lepton_proto.v1 import (
    projects_pb2,
    projects_pb2_grpc,
    recipes_pb2,
    recipes_pb2_grpc,
    workers_pb2,
    workers_pb2_grpc,
)


class ProjectAndKeyCalls:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._projects = projects_pb2_grpc.ProjectServiceStub(channel)
        self._keys = projects_pb2_grpc.KeyServiceStub(channel)
        self._recipes = recipes_pb2_grpc.RecipeServiceStub(channel)
        self._workers = workers_pb2_grpc.WorkerServiceStub(channel)

    async def create_project(self, name: str) -> Project:
        answer = await self._projects.CreateProject(projects_pb2.CreateProjectRequest(name=name))
        return conversion.from_proto(answer.project, Project)

    async def list_projects(self) -> list[Project]:
        answer = await self._projects.ListProjects(projects_pb2.ListProjectsRequest())
        return models(answer.projects, Project)

    async def create_key(self, name: str, role: Role, ttl_seconds: int, project: str) -> tuple[ApiKey, str]:
        """The key and its secret, which cannot be read again later."""
        request = projects_pb2.CreateKeyRequest(
            name=name,
            role=f"ROLE_{role.value.upper()}",
            ttl_seconds=ttl_seconds,
            project=project,
        )
        answer = await self._keys.CreateKey(request)
        return conversion.from_proto(answer.key, ApiKey), answer.secret

    async def list_keys(self) -> list[ApiKey]:
        return models((await self._keys.ListKeys(projects_pb2.ListKeysRequest())).keys, ApiKey)

    async def revoke_key(self, id: str) -> ApiKey:
        return conversion.from_proto((await self._keys.RevokeKey(projects_pb2.RevokeKeyRequest(id=id))).key, ApiKey)

    async def verify_key(self, key_id: str, token_sha256: str, /) -> Principal:
        """The principal of a presented key. Raises UNAUTHENTICATED if the key is not valid."""
        answer = await self._keys.VerifyKey(projects_pb2.VerifyKeyRequest(id=key_id, token_sha256=token_sha256))
        key = conversion.from_proto(answer.key, ApiKey)
        return Principal(PrincipalKind.KEY, key.id, project=key.project, role=Role(key.role.value))

    async def get_recipe(self, name: str, version: str) -> Recipe | None:
        """An empty version means the newest."""
        try:
            answer = await self._recipes.GetRecipe(recipes_pb2.GetRecipeRequest(name=name, version=version))
        except LeptonError as error:
            if error.code is ErrorCode.NOT_FOUND:
                return None
            raise
        return conversion.from_proto(answer.recipe, Recipe)

    async def list_recipes(self) -> list[Recipe]:
        return models((await self._recipes.ListRecipes(recipes_pb2.ListRecipesRequest())).recipes, Recipe)

    async def list_workers(self) -> list[Worker]:
        return models((await self._workers.ListWorkers(workers_pb2.ListWorkersRequest())).workers, Worker)

    async def drain_worker(self, worker_id: str) -> Worker:
        answer = await self._workers.DrainWorker(workers_pb2.DrainWorkerRequest(id=worker_id))
        return conversion.from_proto(answer.worker, Worker)
