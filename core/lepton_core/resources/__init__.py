"""Everything that has an id, as it looks on the wire: once, for gateway, SDK and tests."""

from lepton_core.identity.principals import Role
from lepton_core.jobs import JobSpec
from lepton_core.resources.artifacts import Artifact, FileEntry, Location, Upload, UploadedPart, UploadPart, UploadState
from lepton_core.resources.datasets import Dataset, DatasetVersion
from lepton_core.resources.deployments import Deployment, Revision, RevisionState
from lepton_core.resources.errors import Error, FieldError
from lepton_core.resources.events import Event
from lepton_core.resources.lineage import Lineage, LineageDirection, LineageEdge, LineageNode
from lepton_core.resources.logs import LogChunk
from lepton_core.resources.metrics import MetricPoint
from lepton_core.resources.models import Alias, Model, ModelVersion
from lepton_core.resources.projects import ApiKey, Project
from lepton_core.resources.recipes import Recipe
from lepton_core.resources.runs import Attempt, AttemptState, Checkpoint, Run, RunState
from lepton_core.resources.workers import Worker

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
