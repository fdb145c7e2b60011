"""What a module declares for lineage: the kinds of nodes that it records, and how references to them are resolved."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from lepton_core.ids import is_id

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class NodeKind:
    """`prefix` is that of the nodes' ids: "run" for run_<ULID>. `by_digest`: "code" for code:sha256:<digest>."""

    name: str
    prefix: str
    by_digest: bool = False

    @property
    def beginning(self) -> str:
        return f"{self.prefix}:sha256:" if self.by_digest else f"{self.prefix}_"

    def has(self, node_id: str) -> bool:
        if self.by_digest:
            return node_id.startswith(self.beginning) and bool(
                _DIGEST.fullmatch(node_id.removeprefix(f"{self.prefix}:"))
            )
        return is_id(node_id, self.prefix)


@dataclass(frozen=True, slots=True)
class NodeReference:
    """`resolve` gets connection, project and a text such as digits@champion, and returns the id of the node that is
    meant. Raises NOT_FOUND. `prefix`: of ids that are no nodes, but mean one, as a deployment means its revision.
    """

    noun: str
    resolve: Callable[[sa.Connection, str, str], str]
    prefix: str = ""


class NodeKinds:
    """The kinds of all modules."""

    def __init__(self, kinds: Sequence[NodeKind]) -> None:
        self.all = tuple(kinds)
        names, prefixes = {kind.name for kind in kinds}, {kind.prefix for kind in kinds}
        assert len(names) == len(prefixes) == len(kinds), "two modules declare the same kind of lineage nodes"

    def name_of(self, node_id: str) -> str:
        """The name of a node's kind; empty if no module has declared it."""
        return next((kind.name for kind in self.all if node_id.startswith(kind.beginning)), "")

    def of(self, node_id: str) -> NodeKind | None:
        """The kind of a complete id."""
        return next((kind for kind in self.all if kind.has(node_id)), None)

    def with_prefix(self, prefix: str) -> NodeKind | None:
        return next((kind for kind in self.all if kind.prefix == prefix and not kind.by_digest), None)
