"""Messages of models with their aliases, and of versions with their aliases and files."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from lepton_proto.v1 import artifacts_pb2
from lepton_proto.v1 import models_pb2 as pb
from lepton_registry.artifacts import store as artifacts
from lepton_registry.models import store
from lepton_registry.rows import to_message


def model_messages(conn: sa.Connection, rows: Sequence[sa.Row[Any]]) -> list[pb.Model]:
    aliases: dict[str, list[pb.Alias]] = defaultdict(list)
    for alias in store.list_aliases(conn, *(row.id for row in rows)):
        aliases[alias.model_id].append(to_message(alias, pb.Alias))
    return [to_message(row, pb.Model, aliases=aliases[row.id]) for row in rows]


def version_messages(conn: sa.Connection, rows: Sequence[sa.Row[Any]], *, with_files: bool) -> list[pb.ModelVersion]:
    """Messages for lists: without the files, which are only in the message of a single version."""
    aliases: dict[tuple[str, int], list[str]] = defaultdict(list)
    for alias in store.list_aliases(conn, *{row.model_id for row in rows}):
        aliases[alias.model_id, alias.version].append(alias.name)
    return [
        to_message(
            row,
            pb.ModelVersion,
            aliases=aliases[row.model_id, row.version],
            files=_files(conn, row) if with_files else (),
        )
        for row in rows
    ]


def _files(conn: sa.Connection, row: sa.Row[Any]) -> list[artifacts_pb2.FileEntry]:
    return [
        artifacts_pb2.FileEntry(path=file.path, digest=file.digest, bytes=file.bytes)
        for file in artifacts.manifest_files(conn, row.project, row.digest)
    ]
