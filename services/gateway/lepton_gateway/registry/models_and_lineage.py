"""Models, deployments, lineage."""

from __future__ import annotations

from collections.abc import Sequence

import grpc.aio

from lepton_core.api import Alias, Deployment, FileEntry, Lineage, Model, ModelVersion, Revision
from lepton_core.grpc import conversion
from lepton_gateway.registry.channel import Page, models, page
from lepton_proto.v1 import (
    artifacts_pb2,
    deployments_pb2,
    deployments_pb2_grpc,
    lineage_pb2,
    lineage_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
)


class ModelAndLineageCalls:
    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._models = models_pb2_grpc.ModelServiceStub(channel)
        self._deployments = deployments_pb2_grpc.DeploymentServiceStub(channel)
        self._lineage = lineage_pb2_grpc.LineageServiceStub(channel)

    async def get_model(self, name: str) -> Model:
        return conversion.from_proto((await self._models.GetModel(models_pb2.GetModelRequest(name=name))).model, Model)

    async def list_models(self, page_token: str, page_size: int) -> Page[Model]:
        answer = await self._models.ListModels(models_pb2.ListModelsRequest(page_token=page_token, page_size=page_size))
        return page(answer.models, Model, answer.next_page_token)

    async def get_model_version(self, reference: str) -> ModelVersion:
        answer = await self._models.GetModelVersion(models_pb2.GetModelVersionRequest(reference=reference))
        return conversion.from_proto(answer.version, ModelVersion)

    async def list_model_versions(self, name: str, page_token: str, page_size: int) -> Page[ModelVersion]:
        answer = await self._models.ListModelVersions(
            models_pb2.ListModelVersionsRequest(name=name, page_token=page_token, page_size=page_size)
        )
        return page(answer.versions, ModelVersion, answer.next_page_token)

    async def import_model_version(self, name: str, files: Sequence[FileEntry]) -> tuple[ModelVersion, bool]:
        """The version, and whether this call made it."""
        request = models_pb2.ImportModelVersionRequest(
            name=name, files=[conversion.to_proto(each, artifacts_pb2.FileEntry) for each in files]
        )
        answer = await self._models.ImportModelVersion(request)
        return conversion.from_proto(answer.version, ModelVersion), answer.created

    async def set_alias(self, model: str, alias: str, version: int, expected_version: int) -> Alias:
        request = models_pb2.SetAliasRequest(
            model=model, alias=alias, version=version, expected_version=expected_version
        )
        return conversion.from_proto((await self._models.SetAlias(request)).alias, Alias)

    async def delete_alias(self, model: str, alias: str) -> None:
        await self._models.DeleteAlias(models_pb2.DeleteAliasRequest(model=model, alias=alias))

    async def create_deployment(self, name: str, model: str) -> tuple[Deployment, bool]:
        """The deployment, and whether this call made it."""
        request = deployments_pb2.CreateDeploymentRequest(name=name, model=model)
        answer = await self._deployments.CreateDeployment(request)
        return conversion.from_proto(answer.deployment, Deployment), answer.created

    async def get_deployment(self, name: str) -> Deployment:
        answer = await self._deployments.GetDeployment(deployments_pb2.GetDeploymentRequest(name=name))
        return conversion.from_proto(answer.deployment, Deployment)

    async def list_deployments(self) -> list[Deployment]:
        answer = await self._deployments.ListDeployments(deployments_pb2.ListDeploymentsRequest())
        return models(answer.deployments, Deployment)

    async def update_deployment(self, name: str, model: str) -> Deployment:
        request = deployments_pb2.UpdateDeploymentRequest(name=name, model=model)
        return conversion.from_proto((await self._deployments.UpdateDeployment(request)).deployment, Deployment)

    async def rollback_deployment(self, name: str, revision: int) -> Deployment:
        request = deployments_pb2.RollbackDeploymentRequest(name=name, revision=revision)
        return conversion.from_proto((await self._deployments.RollbackDeployment(request)).deployment, Deployment)

    async def delete_deployment(self, name: str) -> None:
        await self._deployments.DeleteDeployment(deployments_pb2.DeleteDeploymentRequest(name=name))

    async def list_revisions(self, name: str) -> list[Revision]:
        answer = await self._deployments.ListRevisions(deployments_pb2.ListRevisionsRequest(name=name))
        return models(answer.revisions, Revision)

    async def get_lineage(self, id: str, direction: str, max_depth: int) -> Lineage:
        request = lineage_pb2.GetLineageRequest(
            id=id,
            direction=f"LINEAGE_DIRECTION_{direction.upper()}",
            max_depth=max_depth,
        )
        return conversion.from_proto(await self._lineage.GetLineage(request), Lineage)
