"""Projects and the keys of their users."""

from pydantic import Field

from lepton_core.api.base import Answer, Request, Resource
from lepton_core.identity.principals import Role


class Project(Resource):
    id: str = ""
    name: str = ""
    created_at_us: int = 0


class ApiKey(Resource):
    """An API key without its secret."""

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
    project: str = Field("", description="Only an operator may name a project other than its own.")


class CreateKeyResponse(Answer):
    key: ApiKey
    secret: str = Field(description="The key itself. It is shown only here, and not stored.")


class ListKeysResponse(Answer):
    keys: list[ApiKey]


class CreateProjectRequest(Request):
    name: str


class ListProjectsResponse(Answer):
    projects: list[Project]


class Caller(Answer):
    """The API key of the request."""

    id: str
    project: str
    role: Role
