"""Projects and the keys of their users."""

from pydantic import Field

from lepton_core.api.base import Answer, Request, Resource
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


class CreateKeyRequest(Request):
    name: str
    role: Role = Role.EDITOR
    ttl_seconds: int = Field(0, ge=0, lt=2**31, description="Seconds until it expires; 0: never.")
    project: str = Field("", description="Only an operator may name another project than its own.")


class CreateKeyResponse(Answer):
    key: ApiKey
    secret: str = Field(description="The token itself: shown once, stored nowhere.")


class ListKeysResponse(Answer):
    keys: list[ApiKey]


class CreateProjectRequest(Request):
    name: str


class ListProjectsResponse(Answer):
    projects: list[Project]


class Caller(Answer):
    """Who the presented key is."""

    id: str
    project: str
    role: Role
