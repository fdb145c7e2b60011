"""Lineage: recorded by the modules of the resources (edges), queried here."""

from lepton_proto.v1 import lineage_pb2_grpc as rpc
from lepton_registry.lineage.kinds import NodeKinds
from lepton_registry.lineage.resolvers import PREDICTION, RootFinder
from lepton_registry.lineage.servicer import LineageServicer
from lepton_registry.lineage.tables import LineageEdgeRow, LineageNodeRow
from lepton_registry.module import Built, Module, Parts


def build(parts: Parts) -> Built:
    roots = RootFinder(NodeKinds(parts.node_kinds), parts.node_references)
    return Built([(rpc.add_LineageServiceServicer_to_server, LineageServicer(parts.database, roots))])


MODULE = Module(
    "lineage",
    (
        LineageEdgeRow,
        LineageNodeRow,
    ),
    build=build,
    node_kinds=(PREDICTION,),
)
