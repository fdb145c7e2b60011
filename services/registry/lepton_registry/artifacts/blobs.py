"""Artifacts of a project by digest: which exist, where their bytes are, and when they were used."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from lepton_core.errors import ErrorCode, FieldError, LeptonError
from lepton_core.ids import check_digest
from lepton_registry.artifacts.tables import ArtifactRow
from lepton_registry.database.engine import now_us, table

ARTIFACTS = table(ArtifactRow)
PRESENT, DAMAGED, DEAD = "present", "damaged", "dead"
# Below the parameter limits of both databases.
CHUNK = 1000
MAX_NAMED = 20


@dataclass(frozen=True, slots=True)
class Stored:
    """The object and range that hold the bytes of a digest."""

    digest: str
    bytes: int
    object_key: str
    object_offset: int


def find_missing(conn: sa.Connection, project: str, digests: Sequence[str]) -> list[str]:
    """The digests that must be sent, in the order given. Damaged and dead artifacts count as missing."""
    distinct = list(dict.fromkeys(check_digest(digest, f"digests[{index}]") for index, digest in enumerate(digests)))
    there = {
        digest
        for chunk in chunks(distinct)
        for digest in conn.scalars(
            sa.select(ARTIFACTS.c.digest).where(
                ARTIFACTS.c.project == project, ARTIFACTS.c.digest.in_(chunk), ARTIFACTS.c.state == PRESENT
            )
        )
    }
    return [digest for digest in distinct if digest not in there]


def add(conn: sa.Connection, project: str, items: Iterable[Stored]) -> None:
    """Makes the digests present. A present artifact keeps its place; a damaged or dead one gets the new place."""
    now = now_us()
    rows = [
        {
            "project": project,
            "digest": item.digest,
            "bytes": item.bytes,
            "object_key": item.object_key,
            "object_offset": item.object_offset,
            "state": PRESENT,
            "created_at_us": now,
            "used_at_us": now,
            "ended_at_us": 0,
        }
        # Sorted, so that two transactions lock in the same order.
        for item in sorted(items, key=lambda item: item.digest)
    ]
    dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(ARTIFACTS)
    healed = {name: insert.excluded[name] for name in ("bytes", "object_key", "object_offset", "state", "ended_at_us")}
    statement = insert.on_conflict_do_update(
        index_elements=[ARTIFACTS.c.project, ARTIFACTS.c.digest],
        set_=healed | {"used_at_us": insert.excluded.used_at_us},
        where=ARTIFACTS.c.state != PRESENT,
    )
    if rows:
        conn.execute(statement, rows)


def find(conn: sa.Connection, project: str, digest: str) -> Stored | None:
    """A present or damaged artifact of the project."""
    row = conn.execute(
        sa.select(ARTIFACTS).where(
            ARTIFACTS.c.project == project, ARTIFACTS.c.digest == digest, ARTIFACTS.c.state != DEAD
        )
    ).first()
    return None if row is None else Stored(row.digest, row.bytes, row.object_key, row.object_offset)


def locate(conn: sa.Connection, project: str, digests: Sequence[str]) -> list[Stored]:
    """The places of all digests, in the order given. Raises NOT_FOUND for missing ones, CORRUPT for damaged ones."""
    found: dict[str, sa.Row[tuple[object, ...]]] = {}
    for chunk in chunks(digests):
        statement = sa.select(ARTIFACTS).where(ARTIFACTS.c.project == project, ARTIFACTS.c.digest.in_(chunk))
        found |= {row.digest: row for row in conn.execute(statement)}
    refuse(digests, {digest: row.state for digest, row in found.items()}, ErrorCode.NOT_FOUND)
    return [
        Stored(row.digest, row.bytes, row.object_key, row.object_offset)
        for row in (found[digest] for digest in digests)
    ]


def require(conn: sa.Connection, project: str, digests: Iterable[str]) -> dict[str, int]:
    """Locks the artifacts, protects them from collection, and returns their sizes.

    Raises FAILED_PRECONDITION for missing ones (never sent, or collected), CORRUPT for damaged ones.
    """
    ordered = sorted(set(digests))
    states: dict[str, str] = {}
    sizes: dict[str, int] = {}
    for chunk in chunks(ordered):
        mine = sa.and_(ARTIFACTS.c.project == project, ARTIFACTS.c.digest.in_(chunk))
        locking = sa.select(ARTIFACTS.c.digest, ARTIFACTS.c.bytes, ARTIFACTS.c.state).where(mine)
        for row in conn.execute(locking.order_by(ARTIFACTS.c.digest).with_for_update()):
            states[row.digest], sizes[row.digest] = row.state, row.bytes
        # A collection that waits for the lock checks its condition again only if the row has changed.
        conn.execute(sa.update(ARTIFACTS).where(mine, ARTIFACTS.c.state == PRESENT).values(used_at_us=now_us()))
    refuse(ordered, states, ErrorCode.FAILED_PRECONDITION)
    return sizes


def mark_damaged(conn: sa.Connection, project: str, damaged: Stored) -> bool:
    """Only if the place is still the one that was read: the artifact may have been sent again meanwhile."""
    statement = (
        sa.update(ARTIFACTS)
        .where(
            ARTIFACTS.c.project == project,
            ARTIFACTS.c.digest == damaged.digest,
            ARTIFACTS.c.object_key == damaged.object_key,
            ARTIFACTS.c.state == PRESENT,
        )
        .values(state=DAMAGED, ended_at_us=now_us())
    )
    return conn.execute(statement).rowcount == 1


def chunks(items: Iterable[str], size: int = CHUNK) -> Iterator[list[str]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def refuse(digests: Iterable[str], states: dict[str, str], missing_code: ErrorCode) -> None:
    """Raises an error that names the missing or damaged digests; does nothing if all are present."""
    missing = [digest for digest in digests if states.get(digest, DEAD) == DEAD]
    if missing:
        raise LeptonError(
            missing_code,
            f"{len(missing)} file(s) are not in this project's store, first {missing[0]}",
            [FieldError("digest", "not in this project's store", digest) for digest in missing[:MAX_NAMED]],
        )
    damaged = [digest for digest in digests if states[digest] == DAMAGED]
    if damaged:
        raise LeptonError(
            ErrorCode.CORRUPT,
            f"{len(damaged)} stored file(s) are damaged, first {damaged[0]}; send them again to repair them",
            [FieldError("digest", "damaged in the store", digest) for digest in damaged[:MAX_NAMED]],
        )
