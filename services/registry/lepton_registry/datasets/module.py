"""Datasets and their versions."""

from lepton_proto.v1 import datasets_pb2_grpc as rpc
from lepton_registry.datasets import store
from lepton_registry.datasets.servicer import DatasetServicer
from lepton_registry.datasets.tables import DatasetRow, DatasetVersionRow
from lepton_registry.lineage.kinds import NodeKind, NodeReference
from lepton_registry.module import Built, Module, Parts


def build(parts: Parts) -> Built:
    return Built([(rpc.add_DatasetServiceServicer_to_server, DatasetServicer(parts.database))])


MODULE = Module(
    "datasets",
    (
        DatasetRow,
        DatasetVersionRow,
    ),
    build=build,
    keeps_manifest=(store.DATASET.keeps_manifest,),
    node_kinds=(NodeKind("dataset_version", "dsv"),),
    node_references=(NodeReference("dataset", store.resolve_node),),
)
