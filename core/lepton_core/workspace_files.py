"""The folder of one attempt: the boundary between the worker, which fills and reads it, and the ranks that work in it.

Shared by the trainer (supervisor and ranks) and by `lepton.runtime`. What a workspace holds after an attempt was
written by code that may be hostile: readers check it (sizes, names, no links), these models only give it shape.
"""

import os
import secrets
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter

from lepton_core.causes import EndCause

ATTEMPT_FILE_VARIABLE = "LEPTON_ATTEMPT_FILE"
# How a recipe's rank ends after a failure: it has reported its outcome, or another rank has; it could not write it.
EXIT_REPORTED, EXIT_NOT_REPORTED = 1, 2
# Parameter of a lost peer: the error came from the backward pass, which may also have failed by itself.
IN_BACKWARD = "in_backward"
# What whoever starts the ranks has to say; relative to the workspace, as all paths of the functions below.
LAUNCHER_LOG = "logs/launcher.log"
# Each file is open while it is sent.
MAX_CHECKPOINT_FILES = 200
JsonObject = dict[str, Any]


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("holds a zero character")
    text.encode()  # UnicodeEncodeError, a ValueError, for lone surrogates
    return text


def _showable(text: str) -> str:
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


# What a rank reports goes on to the registry and into paths, so it must fit there; a message is changed until it does.
Text = Annotated[str, AfterValidator(_storable)]
Message = Annotated[str, AfterValidator(_showable)]
Integer = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Metrics = dict[Text, FiniteFloat]


class _WorkspaceModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RecipeRef(_WorkspaceModel):
    name: str
    version: str
    # "package.module:Class", imported by the rank alone
    entry: str


class ScriptRef(_WorkspaceModel):
    # file inside code_dir
    entry_point: str
    arguments: tuple[str, ...] = ()
    code_dir: str = "code"


class ResumePoint(_WorkspaceModel):
    """The committed checkpoint to go on from; `dir` holds its files."""

    dir: str
    step: int = Field(ge=0)
    epoch: int = Field(default=0, ge=0)
    checkpoint_id: str = ""


class Limits(_WorkspaceModel):
    # None: the processor cores, divided among the ranks of this machine
    threads_per_rank: int | None = Field(default=None, ge=1)
    # what the workspace may hold, enforced by the supervisor; None: no bound
    disk_bytes: int | None = Field(default=None, ge=0)


class AttemptFile(_WorkspaceModel):
    """attempt.json: all that a rank gets as input. Folders are absolute, or relative to the workspace."""

    run_id: str
    attempt_id: str
    project: str = ""
    ranks: int = Field(default=1, ge=1)
    recipe: RecipeRef | None = None
    script: ScriptRef | None = None
    settings: JsonObject = {}
    data_dir: str = "inputs/data"
    resume: ResumePoint | None = None
    # name of the model to register; empty for none
    model: str = ""
    limits: Limits = Limits()


class Outcome(_WorkspaceModel):
    """outcome.json: how the attempt ended, written once, as the last file. `final`: trying again cannot help.

    Of a failure: the `rank` that reports it, and a `code` of `lepton_core.causes.REPORTED_BY_PROGRAMS` with parameters.
    """

    status: Literal["succeeded", "failed", "released"]
    reason: Message = ""
    final: bool = False
    metrics: Metrics = {}
    rank: Count | None = None
    code: str = Field(default="", max_length=64)
    parameters: JsonObject = {}


class CheckpointRecord(_WorkspaceModel):
    """A complete checkpoint, and how far each metrics file had come when it was made."""

    kind: Literal["checkpoint"] = "checkpoint"
    step: Count
    epoch: Count
    # relative to the workspace: checkpoints/step-00000400
    dir: Text
    metrics: Metrics = {}
    # higher is better; None when it was not measured. The best one of a run is kept beside its last ones.
    score: FiniteFloat | None = None
    offsets: dict[Text, Count] = {}


class ProgressRecord(_WorkspaceModel):
    kind: Literal["progress"] = "progress"
    epoch: Integer
    epochs: Integer
    step: Integer
    steps: Integer


ControlRecord = Annotated[CheckpointRecord | ProgressRecord, Field(discriminator="kind")]
_CONTROL: TypeAdapter[CheckpointRecord | ProgressRecord] = TypeAdapter(ControlRecord)


def parse_control(record: JsonObject) -> CheckpointRecord | ProgressRecord:
    """Raises pydantic.ValidationError for a record of no known kind."""
    return _CONTROL.validate_python(record)


def metrics_journal(rank: int) -> str:
    return f"journal/metrics-rank{rank}.jsonl"


def control_journal(rank: int) -> str:
    return f"journal/control-rank{rank}.jsonl"


def rank_log(rank: int) -> str:
    return f"logs/rank-{rank}.log"


class Workspace:
    """The names in the folder of an attempt."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.attempt_file = root / "attempt.json"
        self.inputs = root / "inputs"
        self.code = root / "code"
        self.resume = root / "resume"
        self.journal = root / "journal"
        self.logs = root / "logs"
        self.checkpoints = root / "checkpoints"
        self.package = root / "package"
        self.evaluation = root / "evaluation.json"
        self.statistics = root / "statistics.json"
        self.environment = root / "environment.json"
        self.outcome = root / "outcome.json"
        self.home = root / "home"
        self.tmp = root / "tmp"

    def metrics_journal(self, rank: int) -> Path:
        return self.root / metrics_journal(rank)

    def control_journal(self, rank: int) -> Path:
        return self.root / control_journal(rank)

    def rank_log(self, rank: int) -> Path:
        return self.root / rank_log(rank)

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / f"step-{step:08d}"

    def folder(self, name: str) -> Path:
        """A folder named in attempt.json: absolute, or relative to the workspace."""
        return self.root / name

    def read_attempt(self) -> AttemptFile:
        return AttemptFile.model_validate_json(self.attempt_file.read_bytes())

    def write_outcome(self, outcome: Outcome) -> bool:
        """Writes the outcome, unless there is one (False): the first rank to fail caused the faults of the others.

        A failure that says no more than that a peer was lost gives way to any other outcome.
        """
        temporary = _write_beside(self.outcome, outcome.model_dump_json().encode())
        try:
            os.link(temporary, self.outcome)
        except FileExistsError:
            if outcome.code == EndCause.PEER_LOST or not self._peer_was_lost():
                return False
            temporary.replace(self.outcome)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(self.root)
        return True

    def _peer_was_lost(self) -> bool:
        try:
            outcome = Outcome.model_validate_json(self.outcome.read_bytes())
        except (OSError, ValueError):
            return False
        return outcome.code == EndCause.PEER_LOST


def write_file(path: Path, data: bytes) -> None:
    """Replaces `path` in one step: after a crash it holds either all of `data` or what it held before."""
    temporary = _write_beside(path, data)
    temporary.replace(path)
    sync_folder(path.parent)


def _write_beside(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with temporary.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def sync_folder(path: Path) -> None:
    """Makes names in the folder durable: a rename is on disk only after its folder was synced."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
