"""The files that an attempt has: those it sent, and those in the folders that it may read.

Otherwise an attempt that knows a digest could find out whether the project has the file, add it to a checkpoint or a
package, and read it in the next attempt.
"""

from collections.abc import Collection, Iterable, Sequence

import sqlalchemy as sa

from lepton_core.errors import ErrorCode
from lepton_core.ids import check_digest
from lepton_registry.artifacts import store
from lepton_registry.artifacts.blobs import PRESENT, chunks, refuse
from lepton_registry.artifacts.tables import AttemptFileRow
from lepton_registry.database.engine import insert_new_rows, table
from lepton_registry.module import AttemptPolicy

SENT = table(AttemptFileRow)


def record(conn: sa.Connection, attempts: AttemptPolicy, attempt_id: str, digests: Iterable[str]) -> None:
    """Records that the attempt has sent the bytes of these files, which match the digests.

    Does nothing for an attempt that has ended meanwhile: its rows are deleted only once.
    """
    if not attempts.lock_running(conn, attempt_id):
        return
    insert_new_rows(conn, SENT, [{"attempt_id": attempt_id, "digest": digest} for digest in sorted(set(digests))])


def held(
    conn: sa.Connection, project: str, attempt_id: str, folders: Collection[str], digests: Sequence[str]
) -> set[str]:
    """The digests, of those given, that the attempt has."""
    found = store.within(conn, project, folders, digests)
    for chunk in chunks(digests):
        mine = sa.and_(SENT.c.attempt_id == attempt_id, SENT.c.digest.in_(chunk))
        found |= set(conn.scalars(sa.select(SENT.c.digest).where(mine)))
    return found


def require_held(
    conn: sa.Connection, project: str, attempt_id: str, folders: Collection[str], digests: Sequence[str]
) -> None:
    """Raises FAILED_PRECONDITION for files that the attempt does not have, whether or not the project has them."""
    for index, digest in enumerate(digests):
        check_digest(digest, f"files[{index}].digest")
    found = held(conn, project, attempt_id, folders, digests)
    refuse(digests, dict.fromkeys(found, PRESENT), ErrorCode.FAILED_PRECONDITION)


def forget(conn: sa.Connection, attempt_id: str) -> None:
    """Deletes the records of an attempt that has ended."""
    conn.execute(sa.delete(SENT).where(SENT.c.attempt_id == attempt_id))
