"""gRPC of the recipe catalogue."""

from typing import Any

import grpc

from lepton_proto.v1 import recipes_pb2 as pb
from lepton_proto.v1 import recipes_pb2_grpc as rpc
from lepton_registry.database.engine import Database
from lepton_registry.recipes import store
from lepton_registry.rows import to_message

Context = grpc.aio.ServicerContext[Any, Any]


class RecipeServicer(rpc.RecipeServiceServicer):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def ListRecipes(self, request: pb.ListRecipesRequest, context: Context) -> pb.ListRecipesResponse:
        rows = await self._database.read(store.list_all)
        return pb.ListRecipesResponse(recipes=[to_message(row, pb.Recipe) for row in rows])

    async def GetRecipe(self, request: pb.GetRecipeRequest, context: Context) -> pb.GetRecipeResponse:
        row = await self._database.read(lambda conn: store.get(conn, request.name, request.version))
        return pb.GetRecipeResponse(recipe=to_message(row, pb.Recipe))
