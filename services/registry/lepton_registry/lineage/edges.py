"""Lineage is recorded with the thing it describes, in the caller's transaction."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lepton_registry.database import now_us, table
from lepton_registry.lineage.tables import LineageEdgeRow, LineageNodeRow

EDGES = table(LineageEdgeRow)
NODES = table(LineageNodeRow)

KINDS = frozenset({"dataset_version", "run", "code", "environment", "model_version", "revision", "prediction"})
RELATIONS = frozenset({"used", "executed", "ran_in", "generated", "serves", "answered_by", "derived_from"})


@dataclass(frozen=True, slots=True)
class Edge:
    """`from_id` came later; `to_id` is what it depends on. A model version points to its run by `generated`."""

    from_id: str
    relation: str
    to_id: str


@dataclass(frozen=True, slots=True)
class Node:
    """`facts` are small JSON values worth showing. Ids of code and environments: "code:sha256:…", "env:sha256:…"."""

    id: str
    kind: str
    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def record(conn: sa.Connection, project: str, edges: Sequence[Edge], nodes: Sequence[Node] = ()) -> None:
    """Write edges, and what is shown of the nodes. Repeating it changes nothing; later facts replace earlier ones."""
    assert all(edge.relation in RELATIONS for edge in edges), edges
    assert all(node.kind in KINDS for node in nodes), nodes
    now = now_us()
    dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
    if nodes:
        insert = dialect.insert(NODES)
        shown = {name: insert.excluded[name] for name in ("kind", "name", "facts_json")}
        statement = insert.on_conflict_do_update(index_elements=[NODES.c.project, NODES.c.id], set_=shown)
        # Sorted, so that two transactions lock in the same order (runs share code and environments).
        rows = [
            {
                "project": project,
                "id": node.id,
                "kind": node.kind,
                "name": node.name,
                "facts_json": json.dumps(dict(node.facts), separators=(",", ":"), sort_keys=True, ensure_ascii=False),
            }
            for node in sorted(nodes, key=lambda node: node.id)
        ]
        conn.execute(statement, rows)
    if edges:
        conn.execute(
            dialect.insert(EDGES).on_conflict_do_nothing(),
            [
                {"project": project, "created_at_us": now}
                | {"from_id": e.from_id, "relation": e.relation, "to_id": e.to_id}
                for e in sorted(edges, key=lambda e: (e.from_id, e.to_id, e.relation))
            ],
        )
