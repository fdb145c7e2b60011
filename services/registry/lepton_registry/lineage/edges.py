"""Records lineage in the transaction that makes the resource."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lepton_core.validation import canonical_json
from lepton_registry.database.engine import insert_new_rows, now_us, table
from lepton_registry.lineage.tables import LineageEdgeRow, LineageNodeRow

EDGES = table(LineageEdgeRow)
NODES = table(LineageNodeRow)
# Of one fact, as JSON.
MAX_FACT_CHARS = 32 * 1024


@dataclass(frozen=True, slots=True)
class Edge:
    """`from_id` depends on `to_id`, which is older. A model version points to its run by `generated`; the other
    relations are used, executed, ran_in, serves, answered_by, derived_from."""

    from_id: str
    relation: str
    to_id: str


@dataclass(frozen=True, slots=True)
class Node:
    """`kind` is the name of a `NodeKind` of the module. `facts` are small JSON values to show. Ids of code and
    environments: "code:sha256:…", "env:sha256:…"."""

    id: str
    kind: str
    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def record(conn: sa.Connection, project: str, edges: Sequence[Edge], nodes: Sequence[Node] = ()) -> None:
    """Writes edges and nodes. May be repeated; later facts of a node replace earlier ones."""
    if nodes:
        dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
        insert = dialect.insert(NODES)
        shown = {name: insert.excluded[name] for name in ("kind", "name", "facts_json")}
        statement = insert.on_conflict_do_update(index_elements=[NODES.c.project, NODES.c.id], set_=shown)
        conn.execute(statement, _node_rows([(project, node) for node in nodes]))
    insert_new_rows(conn, EDGES, _edge_rows([(project, edge) for edge in edges]))


def record_new(conn: sa.Connection, edges: Sequence[tuple[str, Edge]], nodes: Sequence[tuple[str, Node]]) -> None:
    """Writes edges and nodes of several projects at once. A node that exists keeps its facts."""
    insert_new_rows(conn, NODES, _node_rows(nodes))
    insert_new_rows(conn, EDGES, _edge_rows(edges))


def _node_rows(nodes: Sequence[tuple[str, Node]]) -> list[dict[str, Any]]:
    # Sorted, so that two transactions lock in the same order (runs share code and environments).
    return [
        {
            "project": project,
            "id": node.id,
            "kind": node.kind,
            "name": node.name,
            "facts_json": canonical_json(_bounded(node.facts)),
        }
        for project, node in sorted(nodes, key=lambda each: (each[0], each[1].id))
    ]


def _bounded(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is too large to show: an environment's facts are what a script wrote, and a run may have a thousand
    metrics."""
    sizes = {name: len(canonical_json(value)) for name, value in facts.items()}
    return {
        name: value if sizes[name] <= MAX_FACT_CHARS else f"left out: {sizes[name]} characters"
        for name, value in facts.items()
    }


def _edge_rows(edges: Sequence[tuple[str, Edge]]) -> list[dict[str, Any]]:
    now = now_us()
    return [
        {
            "project": project,
            "from_id": edge.from_id,
            "relation": edge.relation,
            "to_id": edge.to_id,
            "created_at_us": now,
        }
        for project, edge in sorted(edges, key=lambda each: (each[0], each[1].from_id, each[1].to_id, each[1].relation))
    ]
