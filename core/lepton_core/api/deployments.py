"""Deployments and their revisions."""

from enum import StrEnum

from pydantic import Field

from lepton_core.api.base import Resource


class RevisionState(StrEnum):
    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"
    # Replaced by a later one.
    RETIRED = "retired"


class Revision(Resource):
    """A deployment pinned to one model version: what replicas serve."""

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
    alias: str = Field("", description="The alias it follows; empty when pinned to a version.")
    desired: Revision | None = None
    last_good: Revision | None = Field(
        None,
        description="The last revision that was warm somewhere; unset before the first.",
    )
    created_at_us: int = 0
    updated_at_us: int = 0
