"""Deployments and their revisions."""

from collections.abc import Set as AbstractSet
from enum import StrEnum
from typing import ClassVar

from pydantic import Field

from lepton_core.api.base import Answer, Request, Resource


class RevisionState(StrEnum):
    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"
    # A later revision has replaced it.
    RETIRED = "retired"


class Revision(Resource):
    """A deployment pinned to one model version, as replicas serve it."""

    id: str = ""
    deployment_id: str = ""
    number: int = 0
    model_version_id: str = ""
    model: str = ""
    model_version: int = 0
    model_digest: str = ""
    state: RevisionState
    reason: str = ""
    created_by: str = ""
    created_at_us: int = 0


class Deployment(Resource):
    id: str = ""
    project: str = ""
    name: str = ""
    model: str = ""
    alias: str = Field("", description="The alias that it follows; empty if it is pinned to a version.")
    desired: Revision | None = None
    last_good: Revision | None = Field(
        None,
        description="The last revision that a replica has loaded; unset before the first.",
    )
    created_at_us: int = 0
    updated_at_us: int = 0


class CreateDeploymentRequest(Request):
    name: str
    model: str = Field(description="`digits@champion` follows the alias, `digits@2` is pinned to that version.")


class UpdateDeploymentRequest(Request):
    in_path: ClassVar[AbstractSet[str]] = frozenset({"name"})

    model: str


class RollbackDeploymentRequest(Request):
    in_path: ClassVar[AbstractSet[str]] = frozenset({"name"})

    revision: int = Field(
        0,
        ge=0,
        lt=2**63,
        description="Number of an earlier revision to serve again; 0: the one before the current revision.",
    )


class ListDeploymentsResponse(Answer):
    deployments: list[Deployment]


class ListRevisionsResponse(Answer):
    revisions: list[Revision]
