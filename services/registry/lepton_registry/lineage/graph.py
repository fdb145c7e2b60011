"""The closure of a node: what it was made from, or what was made from it. One query, limited in depth and size."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from lepton_core.validation import stored_document
from lepton_registry.lineage.edges import EDGES, NODES
from lepton_registry.lineage.kinds import NodeKinds

DEFAULT_DEPTH = 16
MAX_EDGES = 5_000
# Of the facts in one answer, which must fit into one message.
MAX_FACTS_CHARS = 4 * 1024 * 1024
_CHUNK = 100
_COLUMNS = (EDGES.c.from_id, EDGES.c.relation, EDGES.c.to_id, EDGES.c.created_at_us)


@dataclass(frozen=True, slots=True)
class FoundEdge:
    from_id: str
    relation: str
    to_id: str
    created_at_us: int


@dataclass(frozen=True, slots=True)
class FoundNode:
    """`facts` is a JSON object; the root's has "truncated" if only the nearest MAX_EDGES edges are returned."""

    id: str
    kind: str
    name: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Closure:
    edges: list[FoundEdge]
    truncated: bool


def closure(
    conn: sa.Connection, project: str, root: str, *, up: bool, down: bool, max_depth: int = DEFAULT_DEPTH
) -> Closure:
    """Edges reachable from `root`, nearest first, found by one query with a part for each direction."""
    walks = []
    if up:
        walks.append(_walk(project, root, max_depth, EDGES.c.from_id, EDGES.c.to_id, "up"))
    if down:
        walks.append(_walk(project, root, max_depth, EDGES.c.to_id, EDGES.c.from_id, "down"))
    # The limit is directly on each recursive query: then both databases stop early.
    limited = [sa.select(walk).limit(MAX_EDGES + 1).subquery() for walk in walks]
    statement = sa.union_all(*(sa.select(part) for part in limited))
    rows = sorted(conn.execute(statement), key=lambda row: row.depth)
    found = dict.fromkeys(FoundEdge(row.from_id, row.relation, row.to_id, row.created_at_us) for row in rows)
    return Closure(list(found)[:MAX_EDGES], len(rows) > MAX_EDGES)


def _walk(project: str, root: str, max_depth: int, near: sa.Column[Any], far: sa.Column[Any], name: str) -> sa.CTE:
    """Edges by their distance from the root. UNION removes an edge that is found twice at the same depth."""
    start = sa.select(*_COLUMNS, sa.literal(1).label("depth")).where(EDGES.c.project == project, near == root)
    walk = start.cte(name, recursive=True)
    step = (
        sa.select(*_COLUMNS, (walk.c.depth + 1).label("depth"))
        .join_from(walk, EDGES, near == walk.c[far.name])
        .where(EDGES.c.project == project, walk.c.depth < max_depth)
    )
    return walk.union(step)


def describe(conn: sa.Connection, project: str, ids: Iterable[str], kinds: NodeKinds) -> list[FoundNode]:
    """The nodes in the order given; a node that was not recorded is named by its id.

    Facts beyond MAX_FACTS_CHARS in total are left out: those of the nodes that come last.
    """
    ordered = list(dict.fromkeys(ids))
    found: list[FoundNode] = []
    left = MAX_FACTS_CHARS
    for start in range(0, len(ordered), _CHUNK):
        part = ordered[start : start + _CHUNK]
        statement = sa.select(NODES).where(NODES.c.project == project, NODES.c.id.in_(part))
        known = {row.id: row for row in conn.execute(statement)}
        for id_ in part:
            row = known.get(id_)
            if row is None:
                found.append(FoundNode(id_, kinds.name_of(id_), id_, {}))
                continue
            left -= len(row.facts_json)
            facts = stored_document(row.facts_json) if left >= 0 else {"left_out": "the answer would be too large"}
            found.append(FoundNode(id_, row.kind, row.name, facts))
    return found


def exists(conn: sa.Connection, project: str, node_id: str) -> bool:
    described = sa.exists().where(NODES.c.project == project, NODES.c.id == node_id)
    touched = [
        sa.exists().where(EDGES.c.project == project, end == node_id) for end in (EDGES.c.from_id, EDGES.c.to_id)
    ]
    return bool(conn.scalar(sa.select(sa.or_(described, *touched))))
