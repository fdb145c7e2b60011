"""What an attempt's token allows: access to the inputs of its run, while the attempt runs."""

from typing import Any

import sqlalchemy as sa

from lepton_registry.database.engine import table
from lepton_registry.runs import attempts, checkpoints
from lepton_registry.runs.states import AttemptState
from lepton_registry.runs.tables import RunRow

RUNS = table(RunRow)


class AttemptAccess:
    """See module.AttemptPolicy."""

    def find(self, conn: sa.Connection, attempt_id: str, /) -> sa.Row[Any] | None:
        return attempts.find(conn, attempt_id)

    def lock_running(self, conn: sa.Connection, attempt_id: str, /) -> bool:
        return attempts.lock_running(conn, attempt_id) is not None

    def folders(self, conn: sa.Connection, attempt_id: str, /) -> frozenset[str]:
        """The digests of the folders that the attempt may read: its run's data and code, and its resume checkpoint.

        Its own checkpoints are not readable: it could add a file to one of which it knows only the digest.

        Raises STALE_ATTEMPT if the attempt has ended: nothing that it sends is accepted, so it needs no files.
        """
        attempt = attempts.find(conn, attempt_id)
        if attempt is None or attempt.state != AttemptState.RUNNING:
            raise attempts.stale(attempt_id, attempt.state if attempt else "unknown")
        run = conn.execute(sa.select(RUNS.c.data_digest, RUNS.c.code_digest).where(RUNS.c.id == attempt.run_id)).one()
        resumed = checkpoints.find(conn, attempt.resumed_from) if attempt.resumed_from else None
        return frozenset({run.data_digest, run.code_digest, resumed.manifest_digest if resumed else ""}) - {""}
