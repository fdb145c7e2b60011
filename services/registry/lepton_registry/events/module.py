"""Events: numbered, delivered by the relay, read by position, deleted when they are old."""

from lepton_proto.v1 import events_pb2_grpc as rpc
from lepton_registry.events.relay import Relay
from lepton_registry.events.retention import EventRetention
from lepton_registry.events.servicer import EventServicer
from lepton_registry.events.tables import CursorRow, EventRow
from lepton_registry.module import Built, Module, Parts
from lepton_registry.periodic import leader_task

RETENTION_SECONDS = 600.0


def build(parts: Parts) -> Built:
    retention = EventRetention(parts.database, parts.leadership, parts.settings.retention)
    tasks = [
        parts.feed.run,
        Relay(parts.database, parts.leadership, parts.sinks).run,
        leader_task("event retention", parts.leadership, retention.work, pause_seconds=RETENTION_SECONDS),
    ]
    return Built([(rpc.add_EventServiceServicer_to_server, EventServicer(parts.database, parts.feed))], tasks)


MODULE = Module(
    "events",
    (
        EventRow,
        CursorRow,
    ),
    build=build,
)
