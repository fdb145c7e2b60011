"""Which files an attempt has: what it sent itself, and what lies in the folders that it may read.

Whoever knows a digest could otherwise learn whether the project has the file, name it in a checkpoint or a package, and
read it through the next attempt.
"""

from collections.abc import Collection, Iterable, Sequence

import sqlalchemy as sa

from lepton_core.errors import ErrorCode
from lepton_core.ids import check_digest
from lepton_registry.artifacts import store
from lepton_registry.artifacts.blobs import PRESENT, chunks, refuse
from lepton_registry.artifacts.tables import AttemptFileRow
from lepton_registry.database.engine import insert_new_rows, table

SENT = table(AttemptFileRow)


def record(conn: sa.Connection, attempt_id: str, digests: Iterable[str]) -> None:
    """The attempt has sent the bytes of these files, and they were what their digests say."""
    insert_new_rows(conn, SENT, [{"attempt_id": attempt_id, "digest": digest} for digest in sorted(set(digests))])


def held(
    conn: sa.Connection, project: str, attempt_id: str, folders: Collection[str], digests: Sequence[str]
) -> set[str]:
    """Those of the digests that the attempt has."""
    found = store.within(conn, project, folders, digests)
    for chunk in chunks(digests):
        mine = sa.and_(SENT.c.attempt_id == attempt_id, SENT.c.digest.in_(chunk))
        found |= set(conn.scalars(sa.select(SENT.c.digest).where(mine)))
    return found


def require_held(
    conn: sa.Connection, project: str, attempt_id: str, folders: Collection[str], digests: Sequence[str]
) -> None:
    """FAILED_PRECONDITION names the files that the attempt does not have, as if the project had none of them."""
    for index, digest in enumerate(digests):
        check_digest(digest, f"files[{index}].digest")
    found = held(conn, project, attempt_id, folders, digests)
    refuse(digests, dict.fromkeys(found, PRESENT), ErrorCode.FAILED_PRECONDITION)


def forget(conn: sa.Connection, attempt_id: str) -> None:
    """The attempt has ended, and names no more files."""
    conn.execute(sa.delete(SENT).where(SENT.c.attempt_id == attempt_id))
