"""The data that a worker passes to the supervisor of an attempt. The import must be fast, so it has no dependencies."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Policy:
    """The worker's settings that limit an attempt."""

    heartbeat_seconds: float
    self_fence_seconds: float
    cancel_grace_seconds: float
    max_disk_bytes: int
    disk_reserve_bytes: int
    timeout_seconds: int
    rank_log_bytes: int
    max_package_bytes: int


@dataclass(frozen=True)
class Resume:
    checkpoint_id: str
    manifest_digest: str
    step: int
    epoch: int


@dataclass(frozen=True)
class Assignment:
    """An attempt, as claimed from the registry."""

    run_id: str
    attempt_id: str
    number: int
    project: str
    attempt_token: str
    # The accepted job spec, JSON text.
    spec: str
    recipe: str
    recipe_version: str
    data_digest: str
    code_digest: str
    resume: Resume | None
    lease_seconds: float


@dataclass(frozen=True)
class ScriptUser:
    """The operating-system user as which scripts run."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True)
class AttemptConfig:
    """`claimed_at` is the time since boot at which the claim was sent, which counts as the first renewal of the
    lease."""

    assignment: Assignment
    policy: Policy
    worker_id: str
    registry_address: str
    workspace: Path
    cache: Path
    # "package.module:Class" of the recipe; empty for a script.
    recipe_entry: str
    # "package.module:function" of the placement.
    placement_entry: str
    ranks: int
    claimed_at: float
    # The user of an isolated script; None: the programs run as the worker's own user.
    user: ScriptUser | None = None

    @property
    def owner(self) -> int | None:
        """The user who must own the files that the programs leave; None: not checked."""
        return self.user.uid if self.user else None

    @property
    def marker(self) -> str:
        return f"{self.worker_id}/{self.assignment.attempt_id}"

    def encode(self) -> bytes:
        return json.dumps(asdict(self), default=str).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Self:
        values: Mapping[str, Any] = json.loads(line)
        assignment = dict(values["assignment"])
        assignment["resume"] = Resume(**assignment["resume"]) if assignment["resume"] else None
        return cls(
            **{
                **values,
                "assignment": Assignment(**assignment),
                "policy": Policy(**values["policy"]),
                "user": ScriptUser(**values["user"]) if values["user"] else None,
                "workspace": Path(values["workspace"]),
                "cache": Path(values["cache"]),
            }
        )
