"""Projects and the keys of their users."""

from lepton_core.api.base import Resource
from lepton_core.identity.principals import Role


class Project(Resource):
    id: str = ""
    name: str = ""
    created_at_us: int = 0


class ApiKey(Resource):
    """An API key as it can be shown: never the secret."""

    id: str = ""
    project: str = ""
    name: str = ""
    role: Role
    created_at_us: int = 0
    revoked_at_us: int = 0
    expires_at_us: int = 0
