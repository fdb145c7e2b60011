"""Lineage: from what a resource was made, and what was made from it."""

from enum import StrEnum

from pydantic import Field

from lepton_core.api.base import JsonObject, Resource


class LineageNode(Resource):
    id: str = Field(
        "",
        description="Id of a resource (`mv_…`, `run_…`, `dsv_…`, `rev_…`, `pred_…`), or `code:sha256:…`, "
        "`env:sha256:…`.",
    )
    kind: str = Field("", description="dataset_version, run, code, environment, model_version, revision, prediction")
    name: str = ""
    facts: JsonObject = Field(default_factory=dict, description="Facts to show, JSON object.")


class LineageEdge(Resource):
    from_id: str = Field("", description="The node that depends on the other one.")
    relation: str = Field("", description="used, executed, ran_in, generated, serves, answered_by, derived_from")
    to_id: str = Field("", description="The node that it depends on, which is older.")
    created_at_us: int = 0


class LineageDirection(StrEnum):
    # Follows what the node was made from.
    UP = "up"
    # Follows what was made from the node.
    DOWN = "down"
    BOTH = "both"


class Lineage(Resource):
    """The closure of one node."""

    root_id: str = ""
    nodes: list[LineageNode] = Field(default_factory=list)
    edges: list[LineageEdge] = Field(default_factory=list)
