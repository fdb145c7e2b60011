"""What came from what."""

from enum import StrEnum

from pydantic import Field

from lepton_core.api.base import JsonObject, Resource


class LineageNode(Resource):
    id: str = Field(
        "",
        description="Of a thing (`mv_…`, `run_…`, `dsv_…`, `rev_…`, `pred_…`), `code:sha256:…` or `env:sha256:…`.",
    )
    kind: str = Field("", description="dataset_version, run, code, environment, model_version, revision, prediction")
    name: str = ""
    facts: JsonObject = Field(default_factory=dict, description="Facts worth showing, JSON object.")


class LineageEdge(Resource):
    from_id: str = Field("", description="The thing that came later.")
    relation: str = Field("", description="used, executed, ran_in, generated, serves, answered_by, derived_from")
    to_id: str = Field("", description="The thing it depends on.")
    created_at_us: int = 0


class LineageDirection(StrEnum):
    # Towards what it came from.
    UP = "up"
    # Towards what was made of it.
    DOWN = "down"
    BOTH = "both"


class Lineage(Resource):
    """The closure of one node."""

    root_id: str = ""
    nodes: list[LineageNode] = Field(default_factory=list)
    edges: list[LineageEdge] = Field(default_factory=list)
