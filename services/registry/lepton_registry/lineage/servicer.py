"""gRPC of lineage."""

import json
from typing import Any

import grpc
import sqlalchemy as sa

from lepton_core.api.limits import MAX_LINEAGE_DEPTH
from lepton_core.errors import invalid
from lepton_proto.v1 import lineage_pb2 as pb
from lepton_proto.v1 import lineage_pb2_grpc as rpc
from lepton_registry.authentication import caller
from lepton_registry.database.engine import Database
from lepton_registry.lineage import graph
from lepton_registry.lineage.graph import Closure, FoundEdge, FoundNode
from lepton_registry.lineage.resolvers import Root, RootFinder

Context = grpc.aio.ServicerContext[Any, Any]


class LineageServicer(rpc.LineageServiceServicer):
    def __init__(self, database: Database, roots: RootFinder) -> None:
        self._database = database
        self._roots = roots

    async def GetLineage(self, request: pb.GetLineageRequest, context: Context) -> pb.GetLineageResponse:
        project = caller().project
        if not 0 <= request.max_depth <= MAX_LINEAGE_DEPTH:
            raise invalid(
                "max_depth", "is out of range", request.max_depth, f"1 to {MAX_LINEAGE_DEPTH}; 0 for the default"
            )
        direction = request.direction or pb.LINEAGE_DIRECTION_BOTH

        def work(conn: sa.Connection) -> tuple[Root, Closure, list[FoundNode]]:
            root = self._roots.find(conn, project, request.id)
            found = graph.closure(
                conn,
                project,
                root.stored,
                up=direction != pb.LINEAGE_DIRECTION_DOWN,
                # Nothing is made from a prediction; other predictions of its revision do not belong to its lineage.
                down=direction != pb.LINEAGE_DIRECTION_UP and not root.is_prediction,
                max_depth=request.max_depth or graph.DEFAULT_DEPTH,
            )
            ids = [root.stored, *(end for edge in found.edges for end in (edge.from_id, edge.to_id))]
            return root, found, graph.describe(conn, project, ids, self._roots.kinds)

        root, found, nodes = await self._database.read(work)
        edges = found.edges
        if root.is_prediction:
            nodes = [FoundNode(root.id, "prediction", root.id, {}), *nodes]
            answered = FoundEdge(root.id, "answered_by", root.stored, 0)
            edges = [answered, *edges] if direction != pb.LINEAGE_DIRECTION_DOWN else []
            nodes = nodes if edges else nodes[:1]
        if found.truncated:
            nodes[0].facts["truncated"] = True
        return pb.GetLineageResponse(
            root_id=root.id,
            nodes=[
                pb.LineageNode(id=node.id, kind=node.kind, name=node.name, facts_json=json.dumps(node.facts))
                for node in nodes
            ],
            edges=[
                pb.LineageEdge(
                    from_id=edge.from_id, relation=edge.relation, to_id=edge.to_id, created_at_us=edge.created_at_us
                )
                for edge in edges
            ],
        )
