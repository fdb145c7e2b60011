"""PostgreSQL: a pool of threads, and a transaction for each piece of work."""

import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa

THREADS = 8
RETRIES = 5
# Serialisation failure, deadlock, lock not available.
RETRIED_STATES = frozenset({"40001", "40P01", "55P03"})

Done = Callable[[Any, BaseException | None], None]
Work = Callable[[sa.Connection], Any]


def build_engine(url: sa.URL) -> sa.Engine:
    return sa.create_engine(url, pool_size=2 * THREADS, max_overflow=0, pool_pre_ping=True)


class PostgresBackend:
    dialect = "postgresql"

    def __init__(self, url: sa.URL) -> None:
        self._engine = build_engine(url)
        self._writes = ThreadPoolExecutor(THREADS, thread_name_prefix="database-write")
        # Separate threads for reads: many long reads must not delay a heartbeat.
        self._reads = ThreadPoolExecutor(THREADS, thread_name_prefix="database-read")

    def submit_write(self, work: Work, done: Done) -> None:
        self._writes.submit(self._run, work, done)

    def submit_read(self, work: Work, done: Done) -> None:
        self._reads.submit(self._run, work, done)

    def _run(self, work: Work, done: Done) -> None:
        for attempt in range(RETRIES + 1):
            try:
                with self._engine.begin() as connection:
                    result = work(connection)
            except sa.exc.OperationalError as error:
                if attempt < RETRIES and getattr(error.orig, "sqlstate", None) in RETRIED_STATES:
                    # From zero, unlike core's Backoff: of transactions that collided, one shall go first.
                    time.sleep(random.uniform(0, 0.01) * 2**attempt)  # noqa: S311 - jitter, not a secret
                    continue
                done(None, error)
            except BaseException as error:  # noqa: BLE001 - handed to the caller
                done(None, error)
            else:
                done(result, None)
            return

    def close(self) -> None:
        self._writes.shutdown()
        self._reads.shutdown()
        self._engine.dispose()
