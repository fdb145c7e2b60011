"""Deployments and their revisions."""

from __future__ import annotations

from fastapi import APIRouter, Response

from lepton_core import api
from lepton_gateway.registry import Registry


def routes(registry: Registry) -> APIRouter:
    router = APIRouter(prefix="/v1/deployments", tags=["deployments"])

    @router.post("", status_code=201, summary="Serve a model")
    async def create_deployment(body: api.CreateDeploymentRequest, response: Response) -> api.Deployment:
        """If a deployment of this name serves the same model already, the answer is that deployment (200)."""
        deployment, created = await registry.create_deployment(body.name, body.model)
        response.status_code = 201 if created else 200
        return deployment

    @router.get("", summary="List deployments")
    async def list_deployments() -> api.ListDeploymentsResponse:
        return api.ListDeploymentsResponse(deployments=await registry.list_deployments())

    @router.get("/{name}", summary="Get a deployment")
    async def get_deployment(name: str) -> api.Deployment:
        """`desired` is the revision that should be served, `last_good` the last one that was ready to serve."""
        return await registry.get_deployment(name)

    @router.patch("/{name}", summary="Point a deployment at another model version or alias")
    async def update_deployment(name: str, body: api.UpdateDeploymentRequest) -> api.Deployment:
        return await registry.update_deployment(name, body.model)

    @router.post("/{name}:rollback", summary="Go back to an earlier revision")
    async def rollback_deployment(name: str, body: api.RollbackDeploymentRequest) -> api.Deployment:
        """Makes a new revision with the model version of the earlier one; the deployment stops following its alias."""
        return await registry.rollback_deployment(name, body.revision)

    @router.delete("/{name}", status_code=204, summary="Stop serving")
    async def delete_deployment(name: str) -> None:
        await registry.delete_deployment(name)

    @router.get("/{name}/revisions", summary="List a deployment's revisions, newest first")
    async def list_revisions(name: str) -> api.ListRevisionsResponse:
        return api.ListRevisionsResponse(revisions=await registry.list_revisions(name))

    return router
