"""Models, their versions and aliases."""

from lepton_proto.v1 import models_pb2_grpc as rpc
from lepton_registry.lineage.kinds import NodeKind, NodeReference
from lepton_registry.models import store
from lepton_registry.models.package import PackageInspector
from lepton_registry.models.servicer import ModelServicer
from lepton_registry.models.tables import AliasRow, ModelRow, ModelVersionRow
from lepton_registry.module import Built, Module, Parts


def build(parts: Parts) -> Built:
    servicer = ModelServicer(parts.database, PackageInspector(parts.read_urls), parts.alias_followers)
    return Built([(rpc.add_ModelServiceServicer_to_server, servicer)])


MODULE = Module(
    "models",
    (
        ModelRow,
        ModelVersionRow,
        AliasRow,
    ),
    build=build,
    keeps_manifest=(store.MODEL.keeps_manifest,),
    node_kinds=(NodeKind("model_version", "mv"),),
    node_references=(NodeReference("model", store.resolve_node),),
)
