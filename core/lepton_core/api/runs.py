"""Runs, attempts, checkpoints. The codes of their causes are in `lepton_core.causes`."""

from enum import StrEnum

from pydantic import Field

from lepton_core.api.base import Answer, JsonObject, Resource
from lepton_core.api.errors import Cause

# A place further back is answered as this one.
MAX_PLACE = 1000


class RunState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    # The program or the job is at fault.
    FAILED = "failed"
    # The lease has expired, for example since the host is down.
    LOST = "lost"
    # The platform drained it.
    RELEASED = "released"
    PREEMPTED = "preempted"
    CANCELLED = "cancelled"


class Run(Resource):
    id: str = ""
    project: str = ""
    name: str = ""
    state: RunState
    spec: JsonObject = Field(
        default_factory=dict,
        description="The spec as accepted, with defaults and resolved versions: canonical JSON text.",
    )
    recipe: str = Field("", description="Name and pinned version of the recipe, empty for a script.")
    recipe_version: str = ""
    dataset_version_id: str = Field("", description="Exact dataset version; empty when the job has no data.")
    dataset: str = ""
    dataset_version: int = 0
    cancel_requested: bool = False
    reason: str = Field("", description="Why it failed, as text.")
    attempts: int = Field(0, description="Number of attempts so far.")
    current_attempt_id: str = ""
    progress: float = Field(0.0, description="Progress of the current attempt, 0 to 1.")
    metrics: JsonObject = Field(default_factory=dict, description="Final metrics: JSON object of numbers.")
    model_version_id: str = Field("", description="Set if a model was registered.")
    model: str = ""
    model_version: int = 0
    created_by: str = ""
    created_at_us: int = 0
    started_at_us: int = 0
    finished_at_us: int = 0
    retries: int = 0
    retries_spent: int = 0
    retry_of: str = Field("", description="The run that this one repeats.")
    waiting_reason: Cause | None = Field(
        None, description="Why a queued run waits. Set if a single run is read, unset in lists."
    )
    cause: Cause | None = Field(
        None,
        description="How its last attempt ended, unless that succeeded. Unset while an attempt runs, and where the "
        "worker gave no cause.",
    )


class Attempt(Resource):
    id: str = ""
    run_id: str = ""
    number: int = 0
    state: AttemptState
    worker_id: str = ""
    reason: str = ""
    created_at_us: int = 0
    finished_at_us: int = 0
    resumed_from: str = Field("", description="Checkpoint it started from; empty for a fresh start.")
    cause: Cause | None = Field(
        None,
        description="How it ended, for programs. Unset while it runs, if it succeeded, and where the worker gave no "
        "cause.",
    )
    files_digest: str = Field(
        "",
        description="Manifest of the files that its script left and that are kept: those of an attempt whose result "
        "cannot be used. Empty for none.",
    )


class Checkpoint(Resource):
    id: str = ""
    run_id: str = ""
    attempt_id: str = ""
    step: int = 0
    epoch: int = 0
    manifest_digest: str = ""
    metrics: JsonObject = Field(default_factory=dict)
    created_at_us: int = 0
    score: float | None = Field(
        None, description="Higher is better; the best checkpoint is kept. Unset if it was not measured."
    )


class ListRunsResponse(Answer):
    runs: list[Run]
    next_page_token: str = Field(description="Token of the next page; empty on the last one.")


class ListAttemptsResponse(Answer):
    attempts: list[Attempt]


class ListCheckpointsResponse(Answer):
    checkpoints: list[Checkpoint]
