"""Projects and API keys."""

from lepton_proto.v1 import projects_pb2_grpc as rpc
from lepton_registry.module import Built, Module, Parts
from lepton_registry.projects.servicer import KeyServicer, ProjectServicer
from lepton_registry.projects.tables import ApiKeyRow, ProjectRow


def build(parts: Parts) -> Built:
    return Built(
        [
            (rpc.add_ProjectServiceServicer_to_server, ProjectServicer(parts.database)),
            (rpc.add_KeyServiceServicer_to_server, KeyServicer(parts.database)),
        ]
    )


MODULE = Module(
    "projects",
    (
        ProjectRow,
        ApiKeyRow,
    ),
    build=build,
)
