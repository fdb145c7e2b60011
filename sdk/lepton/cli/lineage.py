"""`lepton lineage`: draws a tree of what a resource was made from, or of what was made from it."""

from __future__ import annotations

from collections import defaultdict
from typing import Annotated, Literal

import typer
from rich.text import Text
from rich.tree import Tree

from lepton.cli import render
from lepton.cli.session import Json, connect
from lepton_core.api import Lineage, LineageNode
from lepton_core.errors import invalid
from lepton_core.plain_text import plain

# Names of a relation: from the later resource to the earlier one, and the other way round.
RELATIONS = {
    "used": ("used", "used by"),
    "executed": ("ran", "run by"),
    "ran_in": ("ran in", "where it ran"),
    "generated": ("made by", "made"),
    "serves": ("serves", "served by"),
    "answered_by": ("answered by", "answered"),
    "derived_from": ("derived from", "source of"),
}
SHOWN_FACTS = 6
# Facts that are part of a node's name, or that are only for programs.
SAID = frozenset({"version", "model", "model_version", "dataset", "deployment", "number", "created_by", "platform"})


def lineage(
    id: Annotated[
        str,
        typer.Argument(
            help="digits@champion, a prediction's id, or the id of a revision, model version, run or dataset version "
            "or its beginning.",
            metavar="ID",
        ),
    ],
    down: Annotated[
        bool, typer.Option("--down", help="Show what was made from it, instead of what it was made from.")
    ] = False,
    both: Annotated[bool, typer.Option("--both", help="Both.")] = False,
    depth: Annotated[int, typer.Option("--depth", min=1, max=64, help="How far to go.")] = 20,
    as_json: Json = False,
) -> None:
    """Draw what a resource was made from.

    For a prediction: its model version, run, exact data, code and environment.

    Example: lepton lineage digits@champion
    """
    if down and both:
        raise invalid("--down", "cannot be combined with --both", allowed="one of them")
    direction: Literal["up", "down", "both"] = "both" if both else "down" if down else "up"
    with connect() as client:
        found = client.lineage(id, direction, max_depth=depth)
    render.show(found, as_json, lambda: draw(found, direction))


def draw(found: Lineage, direction: Literal["up", "down", "both"] = "up") -> Tree:
    nodes = {node.id: node for node in found.nodes}
    tree = Tree(_label(nodes.get(found.root_id) or LineageNode(id=found.root_id)))
    if direction != "down":
        _grow(tree, found, nodes, later=False)
    if direction != "up":
        below = tree.add(Text("and what was made from it", style="italic")) if direction == "both" else tree
        _grow(below, found, nodes, later=True)
    return tree


def _grow(tree: Tree, found: Lineage, nodes: dict[str, LineageNode], *, later: bool) -> None:
    """Adds all nodes that are reached from the root. A node that was drawn before is only named."""
    edges: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for edge in found.edges:
        near, far = (edge.to_id, edge.from_id) if later else (edge.from_id, edge.to_id)
        edges[near].append((RELATIONS.get(edge.relation, (edge.relation,) * 2)[later], far))
    drawn = {found.root_id}
    waiting = [(tree, found.root_id)]
    while waiting:
        branch, id = waiting.pop()
        for relation, far in edges[id]:
            label = Text(f"{relation} ", style="dim").append(_label(nodes.get(far) or LineageNode(id=far)))
            if far in drawn:
                branch.add(label.append(" (above)", style="dim"))
            else:
                drawn.add(far)
                waiting.append((branch.add(label), far))


def _label(node: LineageNode) -> Text:
    kind = node.kind.replace("_", " ")
    label = Text(f"{kind} " if kind else "", style="bold").append(plain(node.name or node.id), style="cyan")
    if node.name and node.name != node.id:
        label.append(f"  {plain(_short(node.id))}", style="dim")
    facts = [
        f"{key} {render.number(value) if isinstance(value, float) else _short(str(value))}"
        for key, value in node.facts.items()
        if key not in SAID and isinstance(value, str | int | float) and value != ""
    ]
    return label.append(f"  {plain(', '.join(facts[:SHOWN_FACTS]))}") if facts else label


def _short(text: str) -> str:
    """Shortens digests to the characters that people compare; --json shows them whole."""
    head, found, digest = text.partition("sha256:")
    return f"{head}{found}{digest[:12]}…" if found else text[:60]
