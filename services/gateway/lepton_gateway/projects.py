"""Finds the id of a project by its name: settings use names, principals use ids."""

from __future__ import annotations

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity import Principal, PrincipalKind, Role, reset_principal, set_principal
from lepton_gateway.registry import Registry

# The principal of calls that the gateway makes for itself, not for a caller.
GATEWAY = Principal(PrincipalKind.SERVICE, "gateway", role=Role.OPERATOR, service="gateway")


class ProjectNames:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._ids: dict[str, str] = {}

    async def id_of(self, name: str) -> str:
        """Raises UNAVAILABLE while no project has that name, so that messages wait until it is made."""
        if name not in self._ids:
            reset = set_principal(GATEWAY)
            try:
                projects = await self._registry.list_projects()
            finally:
                reset_principal(reset)
            self._ids = {project.name: project.id for project in projects}
        if name not in self._ids:
            raise LeptonError(ErrorCode.UNAVAILABLE, f"There is no project {name!r}, but a queue is bound to it.")
        return self._ids[name]
