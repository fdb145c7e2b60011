"""Projects by name, for settings: a principal names its project by id."""

from __future__ import annotations

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity import Principal, PrincipalKind, Role, reset_principal, set_principal
from lepton_gateway.registry import Registry

# The gateway itself, when it asks for nobody in particular.
GATEWAY = Principal(PrincipalKind.SERVICE, "gateway", role=Role.OPERATOR, service="gateway")


class ProjectNames:
    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._ids: dict[str, str] = {}

    async def id_of(self, name: str) -> str:
        """Raises UNAVAILABLE while there is no project of that name: messages wait until somebody makes it."""
        if name not in self._ids:
            reset = set_principal(GATEWAY)
            try:
                projects = await self._registry.list_projects()
            finally:
                reset_principal(reset)
            self._ids = {project.name: project.id for project in projects}
        if name not in self._ids:
            raise LeptonError(ErrorCode.UNAVAILABLE, f"There is no project {name!r}, which a queue is bound to.")
        return self._ids[name]
