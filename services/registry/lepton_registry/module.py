"""The interface of a resource to the registry: each resource's folder has one object `MODULE` in its `module.py`.

`modules.py` lists them. docs/adding-a-resource.md lists what a new resource needs outside of this package.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy as sa
from sqlmodel import SQLModel

from lepton_core.errors import Cause
from lepton_registry.periodic import Task

if TYPE_CHECKING:
    from lepton_core.grpc.server import Registration
    from lepton_core.identity.policies import Policy
    from lepton_core.objects.store import ObjectStore
    from lepton_registry.artifacts.read_urls import ReadUrls
    from lepton_registry.database.engine import Database
    from lepton_registry.database.leadership import Leadership
    from lepton_registry.events.feed import Feed
    from lepton_registry.events.relay import Sink
    from lepton_registry.lineage.kinds import NodeKind, NodeReference
    from lepton_registry.models.aliases import AliasFollowers
    from lepton_registry.settings import RegistrySettings

# Condition on the manifests table (the argument): whether a row of the module needs the manifest.
KeepsManifest = Callable[[sa.Table], sa.ColumnElement[bool]]
Wake = Callable[[], Awaitable[None]]
# Why a run (the row) waits; None if it does not.
WaitingReason = Callable[[sa.Connection, sa.Row[Any]], Cause | None]


class AttemptPolicy(Protocol):
    """What an attempt's token allows."""

    def find(self, conn: sa.Connection, attempt_id: str, /) -> sa.Row[Any] | None:
        """The attempt's row: project, worker_id, finished_at_us."""
        ...

    def folders(self, conn: sa.Connection, attempt_id: str, /) -> frozenset[str]:
        """Digests of the folders that the attempt may read. Raises STALE_ATTEMPT if the attempt has ended."""
        ...

    def lock_running(self, conn: sa.Connection, attempt_id: str, /) -> bool:
        """Whether the attempt runs. If so, it cannot end before the transaction does."""
        ...


@dataclass(frozen=True)
class Parts:
    """What modules are built from; one object for each process."""

    settings: RegistrySettings
    database: Database
    objects: ObjectStore
    leadership: Leadership
    feed: Feed
    read_urls: ReadUrls
    # Wakes one waiting worker; does nothing without a queue.
    wake: Wake
    # Destinations of events, besides readers by position.
    sinks: Sequence[Sink]
    # Secret from which the tokens of attempts are derived.
    attempt_secret: bytes
    # Identifies the database; written into the bucket, which belongs to one database.
    owner: str
    # Set when the bucket is known to be ours. Nothing may be deleted from it before.
    bucket_ready: asyncio.Event
    # Policies, collected from all modules.
    keeps_manifest: Sequence[KeepsManifest]
    alias_followers: Sequence[AliasFollowers]
    node_kinds: Sequence[NodeKind]
    node_references: Sequence[NodeReference]
    attempts: AttemptPolicy
    waiting_reason: WaitingReason

    async def with_bucket(self, task: Task) -> None:
        await self.bucket_ready.wait()
        await task()


@dataclass(frozen=True)
class Built:
    """gRPC services, and tasks that run as long as they do."""

    servicers: Sequence[Registration] = ()
    tasks: Sequence[Task] = ()


def nothing(_parts: Any) -> Built:
    """The default `build`, for a module that has only tables."""
    return Built()


@dataclass(frozen=True)
class Module:
    name: str
    tables: Sequence[type[SQLModel]]
    build: Callable[[Parts], Built] = nothing
    # Policy rows of its RPCs, for a module of another package; those of this tree are in core's table.
    policies: Mapping[str, Policy] = field(default_factory=dict)
    # What the module provides to others. Manifests that no module keeps are deleted by the collection of artifacts.
    keeps_manifest: Sequence[KeepsManifest] = ()
    # Called in the transaction that moves an alias of a model.
    alias_followers: Sequence[AliasFollowers] = ()
    # The kinds of lineage nodes that it records, and how names mean one.
    node_kinds: Sequence[NodeKind] = ()
    node_references: Sequence[NodeReference] = ()
    # Exactly one module provides each of these.
    attempts: AttemptPolicy | None = None
    waiting_reason: WaitingReason | None = None
