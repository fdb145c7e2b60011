"""Bodies of requests and answers that are not a resource by themselves.

Each class has the name and the fields of its message in `lepton.v1`; a test compares them. Where HTTP differs on
purpose (a name in the path instead of the body), the message's fields are listed in `IN_PATH`.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from lepton_core.api import (
    Alias,
    ApiKey,
    Artifact,
    Attempt,
    Checkpoint,
    Dataset,
    DatasetVersion,
    Deployment,
    Event,
    FileEntry,
    Location,
    LogChunk,
    MetricPoint,
    Model,
    ModelVersion,
    Project,
    Recipe,
    Revision,
    Run,
    UploadedPart,
    Worker,
)
from lepton_core.identity import Role

MAX_DIGESTS = 10_000
MAX_FILES = 1_000_000

IN_PATH = {
    "CreateDatasetVersionRequest": {"name"},
    "ImportModelVersionRequest": {"name"},
    "SetAliasRequest": {"model", "alias"},
    "UpdateDeploymentRequest": {"name"},
    "RollbackDeploymentRequest": {"name"},
    "CompleteUploadRequest": {"id"},
}


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ListRunsResponse(Body):
    runs: list[Run]
    next_page_token: str = Field(description="Ask again with it for the next page; empty at the end.")


class ListAttemptsResponse(Body):
    attempts: list[Attempt]


class ListCheckpointsResponse(Body):
    checkpoints: list[Checkpoint]


class QueryMetricsResponse(Body):
    points: list[MetricPoint]
    next_cursor: str
    end: bool = Field(description="True when the run has ended and there is nothing after `next_cursor`.")


class ReadLogResponse(Body):
    chunks: list[LogChunk]
    next_cursor: str
    end: bool


class ListEventsResponse(Body):
    events: list[Event]
    last_position: int


class ListDatasetsResponse(Body):
    datasets: list[Dataset]
    next_page_token: str


class ListDatasetVersionsResponse(Body):
    versions: list[DatasetVersion]
    next_page_token: str


class CreateDatasetVersionRequest(Body):
    manifest_digest: str
    message: str = ""


class CreateDatasetVersionResponse(Body):
    version: DatasetVersion
    created: bool = Field(description="False when the latest version already had exactly these files.")


class FindMissingRequest(Body):
    digests: list[str] = Field(max_length=MAX_DIGESTS)


class FindMissingResponse(Body):
    digests: list[str]


class PutInlineResponse(Body):
    artifacts: list[Artifact]


class CreateUploadRequest(Body):
    digest: str
    bytes: int = Field(ge=0, lt=2**63)


class CompleteUploadRequest(Body):
    parts: list[UploadedPart] = Field(max_length=10_000)


class LocateRequest(Body):
    digests: list[str] = Field(max_length=MAX_DIGESTS)


class LocateResponse(Body):
    locations: list[Location]


class CommitManifestRequest(Body):
    files: list[FileEntry] = Field(max_length=MAX_FILES)


class CommitManifestResponse(Body):
    manifest_digest: str
    bytes: int
    files: int


class GetManifestResponse(Body):
    files: list[FileEntry]
    next_after: str


class ListModelsResponse(Body):
    models: list[Model]
    next_page_token: str


class ListModelVersionsResponse(Body):
    versions: list[ModelVersion]
    next_page_token: str


class ImportModelVersionRequest(Body):
    files: list[FileEntry] = Field(max_length=1_000)


class ImportModelVersionResponse(Body):
    version: ModelVersion
    created: bool


class SetAliasRequest(Body):
    version: int = Field(ge=1, lt=2**63)
    expected_version: int = Field(
        0, ge=0, lt=2**63, description="Refused (409) if the alias is elsewhere by now; 0: do not check."
    )


class SetAliasResponse(Body):
    alias: Alias


class CreateDeploymentRequest(Body):
    name: str
    model: str = Field(description="`digits@champion` follows the alias, `digits@2` stays at that version.")


class UpdateDeploymentRequest(Body):
    model: str


class RollbackDeploymentRequest(Body):
    revision: int = Field(
        0, ge=0, lt=2**63, description="Number of the revision to go back to; 0: the one before the current."
    )


class ListDeploymentsResponse(Body):
    deployments: list[Deployment]


class ListRevisionsResponse(Body):
    revisions: list[Revision]


class ListRecipesResponse(Body):
    recipes: list[Recipe]


class ListWorkersResponse(Body):
    workers: list[Worker]


class CreateKeyRequest(Body):
    name: str
    role: Role = Role.EDITOR
    ttl_seconds: int = Field(0, ge=0, lt=2**31, description="Seconds until it expires; 0: never.")
    project: str = Field("", description="Only an operator may name another project than its own.")


class CreateKeyResponse(Body):
    key: ApiKey
    secret: str = Field(description="The token itself: shown once, stored nowhere.")


class ListKeysResponse(Body):
    keys: list[ApiKey]


class CreateProjectRequest(Body):
    name: str


class ListProjectsResponse(Body):
    projects: list[Project]


class Caller(Body):
    """Who the presented key is."""

    id: str
    project: str
    role: Role


class CodeFolder(Body):
    """A stored code folder."""

    code: str = Field(description="Digest of its manifest.")
