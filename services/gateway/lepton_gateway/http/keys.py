"""API keys and projects."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter

from lepton_core import api
from lepton_core.identity import Role, current_principal
from lepton_gateway.registry import Registry


def routes(registry: Registry, forget: Callable[[str], None]) -> APIRouter:
    """`forget` drops a revoked key from this gateway's cache at once."""
    router = APIRouter(prefix="/v1", tags=["keys"])

    @router.get("/whoami", summary="Get the principal of the presented key")
    async def whoami() -> api.Caller:
        principal = current_principal()
        return api.Caller(id=principal.id, project=principal.project, role=principal.role or Role.VIEWER)

    @router.post("/keys", status_code=201, summary="Make a key")
    async def create_key(body: api.CreateKeyRequest) -> api.CreateKeyResponse:
        """The role of the new key may not exceed the caller's role."""
        key, secret = await registry.create_key(body.name, body.role, body.ttl_seconds, body.project)
        return api.CreateKeyResponse(key=key, secret=secret)

    @router.get("/keys", summary="List the project's keys")
    async def list_keys() -> api.ListKeysResponse:
        return api.ListKeysResponse(keys=await registry.list_keys())

    @router.delete("/keys/{key_id}", summary="Revoke a key")
    async def revoke_key(key_id: str) -> api.ApiKey:
        """Other processes may accept the key until their cached copy expires (30 s by default)."""
        key = await registry.revoke_key(key_id)
        forget(key_id)
        return key

    @router.post("/projects", status_code=201, tags=["projects"], summary="Make a project")
    async def create_project(body: api.CreateProjectRequest) -> api.Project:
        return await registry.create_project(body.name)

    @router.get("/projects", tags=["projects"], summary="List projects")
    async def list_projects() -> api.ListProjectsResponse:
        return api.ListProjectsResponse(projects=await registry.list_projects())

    return router
