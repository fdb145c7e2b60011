"""gRPC of workers."""

from typing import Any

import grpc
import sqlalchemy as sa

from lepton_core.errors import invalid
from lepton_core.identity import Role, current_principal
from lepton_core.ids import digest_of
from lepton_proto.v1 import workers_pb2 as pb
from lepton_proto.v1 import workers_pb2_grpc as rpc
from lepton_registry.database.engine import Database
from lepton_registry.recipes.store import Announced
from lepton_registry.rows import to_message
from lepton_registry.runs import attempts
from lepton_registry.scheduling import sweeper
from lepton_registry.workers import store

Context = grpc.aio.ServicerContext[Any, Any]


class WorkerServicer(rpc.WorkerServiceServicer):
    def __init__(self, database: Database) -> None:
        self._database = database

    async def RegisterWorker(self, request: pb.RegisterWorkerRequest, context: Context) -> pb.RegisterWorkerResponse:
        announcement = _announcement(request)

        def register(conn: sa.Connection) -> pb.Worker:
            row = store.register(conn, announcement)
            sweeper.free_earlier_incarnations(conn, row.id, row.incarnation)
            return _message(row, store.announced(conn).get(row.id, []), "")

        return pb.RegisterWorkerResponse(worker=await self._database.write(register))

    async def DrainWorker(self, request: pb.DrainWorkerRequest, context: Context) -> pb.DrainWorkerResponse:
        def drain(conn: sa.Connection) -> pb.Worker:
            row = store.drain(conn, request.id)
            recipes, current = store.announced(conn), attempts.running_by_worker(conn)
            return _message(row, recipes.get(row.id, []), current.get(row.id, ""))

        return pb.DrainWorkerResponse(worker=await self._database.write(drain))

    async def ListWorkers(self, request: pb.ListWorkersRequest, context: Context) -> pb.ListWorkersResponse:
        principal = current_principal()
        everything = principal.role is None or principal.has_role(Role.OPERATOR)

        def read(conn: sa.Connection) -> list[pb.Worker]:
            """Callers other than operators see no hostnames, and only attempts of their own project."""
            recipes = store.announced(conn)
            current = attempts.running_by_worker(conn, "" if everything else principal.project)
            found = [
                _message(row, recipes.get(row.id, []), current.get(row.id, "")) for row in store.list_workers(conn)
            ]
            for worker in () if everything else found:
                worker.ClearField("hostname")
            return found

        return pb.ListWorkersResponse(workers=await self._database.read(read))


def _announcement(request: pb.RegisterWorkerRequest) -> store.Announcement:
    for at, recipe in enumerate(request.recipes):
        if recipe.schema_digest and recipe.schema_digest != digest_of(recipe.schema_json.encode()):
            raise invalid(
                ("recipes", at, "schema_digest"), "not the digest of the schema", recipe.schema_digest, "its SHA-256"
            )
    return store.Announcement(
        id=request.id,
        hostname=request.hostname,
        incarnation=request.incarnation,
        recipes=[Announced(each.name, each.version, each.title, each.schema_json) for each in request.recipes],
        accepts_scripts=request.accepts_scripts,
        max_ranks=request.max_ranks,
        gpus=request.gpus,
        isolates_scripts=request.isolates_scripts,
    )


def _message(row: sa.Row[Any], recipes: list[str], attempt_id: str) -> pb.Worker:
    return to_message(row, pb.Worker, recipes=recipes, alive=store.is_alive(row), current_attempt_id=attempt_id)
