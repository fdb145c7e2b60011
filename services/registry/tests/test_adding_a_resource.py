"""A new resource is one folder and one line (docs/adding-a-resource.md)."""

import asyncio
from typing import Any, ClassVar

import grpc
import pytest
import sqlalchemy as sa
from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity import Role
from lepton_core.identity.policies import Policy
from lepton_core.ids import new_id
from lepton_fixtures.processes import wait_until
from lepton_registry.authentication import caller
from lepton_registry.database.engine import Database, table
from lepton_registry.events import outbox
from lepton_registry.lineage.edges import Edge, Node, record
from lepton_registry.module import Built, Module, Parts
from lepton_registry.modules import MODULES
from lepton_registry.periodic import leader_task

from .conftest import Configured, Server

SERVICE = "notes.v1.NoteService"


class Own(SQLModel, registry=registry()):
    """Apart from the registry's own tables, whose migrations another test compares."""


class NoteRow(Own, table=True):
    __tablename__: ClassVar[str] = "notes"

    id: str = Field(primary_key=True)
    project: str
    text: str
    counted: bool = False


NOTES = table(NoteRow)


class NoteServicer:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add_note(self, request: StringValue, context: object) -> StringValue:
        principal = caller()

        def work(conn: sa.Connection) -> str:
            note = {"id": new_id("run"), "project": principal.project, "text": request.value, "counted": False}
            conn.execute(sa.insert(NOTES), note)
            outbox.write(conn, principal.project, "note.created", note["id"], {"text": request.value})
            record(conn, principal.project, [Edge(note["id"], "used", "dsv_x")], [Node(note["id"], "run", "note")])
            return str(note["id"])

        return StringValue(value=await self._database.write(work))


def register(servicer: NoteServicer, server: Any) -> None:
    """What generated code does."""
    handler = grpc.unary_unary_rpc_method_handler(
        servicer.add_note,
        request_deserializer=StringValue.FromString,
        response_serializer=StringValue.SerializeToString,
    )
    server.add_registered_method_handlers(SERVICE, {"AddNote": handler})


def build(parts: Parts) -> Built:
    async def count() -> str:
        marked = await parts.leadership.write(
            lambda conn: conn.execute(sa.update(NOTES).where(~NOTES.c.counted).values(counted=True)).rowcount
        )
        return f"{marked} notes" if marked else ""

    task = leader_task("note counting", parts.leadership, count, pause_seconds=0.05)
    return Built([(register, NoteServicer(parts.database))], [task])


MODULE = Module(
    "notes",
    (NoteRow,),
    build=build,
    policies={f"/{SERVICE}/AddNote": Policy(frozenset({"gateway"}), Role.EDITOR)},
)


@pytest.fixture
async def server(configured: Configured):
    settings, tokens = configured
    engine = sa.create_engine(settings.database_url)
    Own.metadata.create_all(engine)
    started = Server(settings, tokens, (*MODULES, MODULE))
    await started.start()
    yield started, engine
    await started.stop()
    engine.dispose()


async def add(channel: Any, text: str) -> str:
    call = channel.unary_unary(
        f"/{SERVICE}/AddNote",
        request_serializer=StringValue.SerializeToString,
        response_deserializer=StringValue.FromString,
    )
    return (await call(StringValue(value=text))).value


async def test_a_module_is_served_guarded_and_worked_on(server):
    started, engine = server
    note = await add(await started.gateway(Role.EDITOR), "hello")
    with pytest.raises(LeptonError) as refused:
        await add(await started.gateway(Role.VIEWER), "no")
    assert refused.value.code is ErrorCode.PERMISSION_DENIED

    def counted() -> bool:
        with engine.connect() as conn:
            return bool(conn.scalar(sa.select(NOTES.c.counted).where(NOTES.c.id == note)))

    await asyncio.to_thread(wait_until, counted, 10, "the leader's work")
    with engine.connect() as conn:
        types = [row.type for row in conn.execute(sa.text("SELECT type FROM events"))]
        edges = conn.execute(sa.text("SELECT count(*) FROM lineage_edges")).scalar()
    assert "dev.lepton.note.created.v1" in types
    assert edges == 1
