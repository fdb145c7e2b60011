"""Deployments, and their revisions as inference watches them."""

from lepton_proto.v1 import deployments_pb2_grpc as rpc
from lepton_registry.deployments.servicer import DeploymentServicer
from lepton_registry.deployments.store import Followers, resolve_node
from lepton_registry.deployments.tables import DeploymentRow, RevisionRow, ServingStateRow
from lepton_registry.deployments.watch import ServingWatch
from lepton_registry.lineage.kinds import NodeKind, NodeReference
from lepton_registry.module import Built, Module, Parts


def build(parts: Parts) -> Built:
    servicer = DeploymentServicer(parts.database, ServingWatch(parts.database))
    return Built([(rpc.add_DeploymentServiceServicer_to_server, servicer)])


MODULE = Module(
    "deployments",
    (
        DeploymentRow,
        RevisionRow,
        ServingStateRow,
    ),
    build=build,
    alias_followers=(Followers(),),
    node_kinds=(NodeKind("revision", "rev"),),
    node_references=(NodeReference("deployment", resolve_node, prefix="dep"),),
)
