"""Everything that has an id, as it looks on the wire: once, for gateway, SDK and tests."""

from lepton_core.api.artifacts import Artifact, FileEntry, Location, Upload, UploadedPart, UploadPart, UploadState
from lepton_core.api.datasets import Dataset, DatasetVersion
from lepton_core.api.deployments import Deployment, Revision, RevisionState
from lepton_core.api.errors import Error, FieldError
from lepton_core.api.events import Event
from lepton_core.api.lineage import Lineage, LineageDirection, LineageEdge, LineageNode
from lepton_core.api.logs import LogChunk
from lepton_core.api.metrics import MetricPoint
from lepton_core.api.models import Alias, Model, ModelVersion
from lepton_core.api.projects import ApiKey, Project
from lepton_core.api.recipes import Recipe
from lepton_core.api.runs import Attempt, AttemptState, Checkpoint, Run, RunState
from lepton_core.api.workers import Worker
from lepton_core.identity.principals import Role
from lepton_core.jobs.spec import JobSpec

__all__ = [
    "Alias",
    "ApiKey",
    "Artifact",
    "Attempt",
    "AttemptState",
    "Checkpoint",
    "Dataset",
    "DatasetVersion",
    "Deployment",
    "Error",
    "Event",
    "FieldError",
    "FileEntry",
    "JobSpec",
    "Lineage",
    "LineageDirection",
    "LineageEdge",
    "LineageNode",
    "Location",
    "LogChunk",
    "MetricPoint",
    "Model",
    "ModelVersion",
    "Project",
    "Recipe",
    "Revision",
    "RevisionState",
    "Role",
    "Run",
    "RunState",
    "Upload",
    "UploadPart",
    "UploadState",
    "UploadedPart",
    "Worker",
]
