"""The outbox: an event is written in the transaction that makes it true."""

import json
from typing import Any

import sqlalchemy as sa

from lepton_core.ids import new_id
from lepton_registry.database import now_us, table
from lepton_registry.events.tables import EventRow

EVENTS = table(EventRow)
_INSERT = sa.insert(EVENTS)


def write(
    conn: sa.Connection, project: str, event_type: str, subject: str, data: dict[str, Any], at_us: int | None = None
) -> None:
    """Write the event `dev.lepton.<event_type>.v1` about `subject` (an id) of `project` (an id).

    Call it after the conditional update it tells of. It has no position yet: with an automatic number, a later
    transaction may commit first, and a reader that has moved past would never see this one.
    """
    row = {
        "id": new_id("evt"),
        "project": project,
        "type": f"dev.lepton.{event_type}.v1",
        "subject": subject,
        "at_us": now_us() if at_us is None else at_us,
        "data_json": json.dumps(data, separators=(",", ":"), sort_keys=True),
    }
    conn.execute(_INSERT, row)
