"""Python client and command line of the Lepton platform.

    import lepton

    client = lepton.Client()
    client.datasets.push("digits", "digits/")
    run = client.jobs.submit("digits.yaml").wait()

Everything public is listed here. `log`, `progress`, `checkpoint`, `log_model`, `data_dir`,
`resume_dir` and `resume_step` are for programs that run inside a job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lepton.client import Client
from lepton.loaded_model import LoadedModel, load
from lepton.resources.keys import NewKey
from lepton.resources.predictions import Prediction
from lepton.resources.runs import Run, RunFailedError
from lepton_core.api import (
    Alias,
    ApiKey,
    Attempt,
    AttemptState,
    Checkpoint,
    Dataset,
    DatasetVersion,
    Deployment,
    FileEntry,
    Lineage,
    LineageEdge,
    LineageNode,
    MetricPoint,
    Model,
    ModelVersion,
    Recipe,
    Revision,
    RevisionState,
    Role,
    RunState,
    Worker,
)
from lepton_core.errors import ErrorCode, FieldError, LeptonError
from lepton_core.jobs.spec import JobSpec

if TYPE_CHECKING:
    from lepton.runtime import checkpoint, data_dir, log, log_model, progress, resume_dir, resume_step

__all__ = [
    "Alias",
    "ApiKey",
    "Attempt",
    "AttemptState",
    "Checkpoint",
    "Client",
    "Dataset",
    "DatasetVersion",
    "Deployment",
    "ErrorCode",
    "FieldError",
    "FileEntry",
    "JobSpec",
    "LeptonError",
    "Lineage",
    "LineageEdge",
    "LineageNode",
    "LoadedModel",
    "MetricPoint",
    "Model",
    "ModelVersion",
    "NewKey",
    "Prediction",
    "Recipe",
    "Revision",
    "RevisionState",
    "Role",
    "Run",
    "RunFailedError",
    "RunState",
    "Worker",
    "checkpoint",
    "data_dir",
    "load",
    "log",
    "log_model",
    "progress",
    "resume_dir",
    "resume_step",
]

_IN_A_JOB = frozenset({"checkpoint", "data_dir", "log", "log_model", "progress", "resume_dir", "resume_step"})


def __getattr__(name: str) -> Any:
    # Loaded when first used: a client outside of a job does not need the journal.
    if name in _IN_A_JOB:
        from lepton import runtime

        return getattr(runtime, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
