"""The catalogue of recipes that workers have announced."""

from lepton_proto.v1 import recipes_pb2_grpc as rpc
from lepton_registry.module import Built, Module, Parts
from lepton_registry.recipes.servicer import RecipeServicer
from lepton_registry.recipes.tables import RecipeRow


def build(parts: Parts) -> Built:
    return Built([(rpc.add_RecipeServiceServicer_to_server, RecipeServicer(parts.database))])


MODULE = Module("recipes", (RecipeRow,), build=build)
