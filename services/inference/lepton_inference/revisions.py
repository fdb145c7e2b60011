"""The revisions to serve, as sent by the registry and stored in the local snapshot."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class PackageFile:
    path: str
    digest: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Revision:
    """A deployment pinned to one model version."""

    id: str
    project: str
    deployment: str
    model: str
    version: int
    version_id: str
    files: tuple[PackageFile, ...]


class TargetState(StrEnum):
    """The state of the desired revision in the registry."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment: the desired revision, and the last good one."""

    project: str
    deployment: str
    desired: Revision | None
    last_good: Revision | None
    state: TargetState = TargetState.PENDING

    @property
    def key(self) -> tuple[str, str]:
        return self.project, self.deployment

    @property
    def revisions(self) -> tuple[Revision, ...]:
        return tuple(revision for revision in (self.last_good, self.desired) if revision)
