"""What is to be served, as the registry says it and the local snapshot remembers it."""

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
    """What the registry knows of the desired revision."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Target:
    """One deployment: what is to be served, and what was once warm."""

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
