"""Messages of deployments, with their desired and last good revisions."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from lepton_proto.v1 import deployments_pb2 as pb
from lepton_registry.deployments import revisions
from lepton_registry.rows import to_message


def deployment_messages(conn: sa.Connection, rows: Sequence[sa.Row[Any]]) -> list[pb.Deployment]:
    wanted = [id_ for row in rows for id_ in (row.desired_id, row.last_good_id) if id_]
    found = {id_: to_message(row, pb.Revision) for id_, row in revisions.by_ids(conn, wanted).items()}
    return [
        to_message(row, pb.Deployment, desired=found.get(row.desired_id), last_good=found.get(row.last_good_id))
        for row in rows
    ]
