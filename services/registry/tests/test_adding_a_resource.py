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
from lepton_proto.v1 import lineage_pb2, lineage_pb2_grpc
from lepton_registry.authentication import caller
from lepton_registry.database.engine import Database, table
from lepton_registry.events import outbox
from lepton_registry.lineage.edges import Edge, Node, record
from lepton_registry.lineage.kinds import NodeKind, NodeReference
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
            note = {"id": new_id("note"), "project": principal.project, "text": request.value, "counted": False}
            conn.execute(sa.insert(NOTES), note)
            outbox.write(conn, principal.project, "note.created", note["id"], {"text": request.value})
            record(
                conn, principal.project, [Edge(note["id"], "used", "dsv_x")], [Node(note["id"], "note", request.value)]
            )
            return str(note["id"])

        return StringValue(value=await self._database.write(work))


def resolve_note(conn: sa.Connection, project: str, text: str) -> str:
    """Lineage of a note by its text."""
    found = conn.scalar(sa.select(NOTES.c.id).where(NOTES.c.project == project, NOTES.c.text == text))
    if found is None:
        raise LeptonError(ErrorCode.NOT_FOUND, f"no note says {text!r}")
    return str(found)


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
    node_kinds=(NodeKind("note", "note"),),
    node_references=(NodeReference("note", resolve_note),),
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


async def test_the_lineage_of_an_added_resource_is_found_by_id_and_by_name(server):
    started, _ = server
    note = await add(await started.gateway(Role.EDITOR), "hello")
    lineage = lineage_pb2_grpc.LineageServiceStub(await started.gateway(Role.VIEWER))
    for text in (note, note[:-2], "hello"):
        answer = await lineage.GetLineage(lineage_pb2.GetLineageRequest(id=text))
        assert answer.root_id == note
        assert [(node.kind, node.name) for node in answer.nodes] == [("note", "hello"), ("dataset_version", "dsv_x")]
    with pytest.raises(LeptonError, match="no model, dataset, deployment or note named 'bye'") as unknown:
        await lineage.GetLineage(lineage_pb2.GetLineageRequest(id="bye"))
    assert "note_…" in unknown.value.fields[0].allowed
