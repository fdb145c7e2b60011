"""Deployments, and their revisions as inference watches them."""

from lepton_proto.v1 import deployments_pb2_grpc as rpc
from lepton_registry.deployments.servicer import DeploymentServicer
from lepton_registry.deployments.store import Followers
from lepton_registry.deployments.tables import DeploymentRow, RevisionRow, ServingStateRow
from lepton_registry.deployments.watch import ServingWatch
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
)
