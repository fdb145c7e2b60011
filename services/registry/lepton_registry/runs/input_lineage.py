"""The lineage of a new run's inputs, written together with the run. So a run that never starts, or fails before its
first attempt, has its data, code and recipe in the lineage, too."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from lepton_registry.lineage import edges
from lepton_registry.lineage.edges import Edge, Node


def record(conn: sa.Connection, runs: Sequence[Mapping[str, Any]]) -> None:
    found: list[tuple[str, Edge]] = []
    nodes: list[tuple[str, Node]] = []
    for run in runs:
        project, run_id = run["project"], run["id"]
        nodes.append((project, Node(run_id, "run", run["name"], facts(run))))
        if run["dataset_version_id"]:
            found.append((project, Edge(run_id, "used", run["dataset_version_id"])))
        if digest := run["code_digest"]:
            nodes.append((project, Node(f"code:{digest}", "code", run["name"], {"digest": digest})))
            found.append((project, Edge(run_id, "executed", f"code:{digest}")))
    edges.record_new(conn, found, nodes)


def facts(run: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a run's node, from its columns."""
    recipe = f"{run['recipe']}@{run['recipe_version']}" if run["recipe"] else ""
    return {"recipe": recipe, "created_by": run["created_by"]}
