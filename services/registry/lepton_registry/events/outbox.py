"""The outbox: an event is written in the transaction of the change that it describes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from lepton_core.ids import new_id
from lepton_core.validation import canonical_json
from lepton_registry.database.engine import insert_new_rows, now_us, table
from lepton_registry.events.tables import EventRow

EVENTS = table(EventRow)


@dataclass(frozen=True, slots=True)
class Event:
    """The event `dev.lepton.<type>.v1` about `subject` (an id) of `project` (an id)."""

    project: str
    type: str
    subject: str
    data: dict[str, Any]
    at_us: int


def write(
    conn: sa.Connection, project: str, event_type: str, subject: str, data: dict[str, Any], at_us: int | None = None
) -> None:
    """Writes the event `dev.lepton.<event_type>.v1` about `subject` (an id) of `project` (an id).

    To be called after the conditional update that it describes. The event has no position yet: with an automatic
    number, a transaction with a higher number may commit first, and a reader that continues after that number would
    never see this event.
    """
    write_all(conn, [Event(project, event_type, subject, data, now_us() if at_us is None else at_us)])


def write_all(conn: sa.Connection, events: Sequence[Event]) -> None:
    """Writes several events, in the order given."""
    insert_new_rows(conn, EVENTS, [_row(event) for event in events])


def _row(event: Event) -> dict[str, Any]:
    return {
        "id": new_id("evt"),
        "position": None,
        "project": event.project,
        "type": f"dev.lepton.{event.type}.v1",
        "subject": event.subject,
        "at_us": event.at_us,
        "data_json": canonical_json(event.data),
    }
