"""SQLite: one process (file lock), one writer thread with group commit, and a few reader threads."""

import fcntl
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from lepton_registry.refusal import RefusedToStart

log = logging.getLogger(__name__)

READERS = 4
# Limits how long one slow write can delay the others of its group.
MAX_GROUP = 256
BUSY_TIMEOUT_MS = 5_000
BUSY_RETRIES = 3
LOCK_WAIT_SECONDS = 10.0

Done = Callable[[Any, BaseException | None], None]
Work = Callable[[sa.Connection], Any]


@dataclass(slots=True)
class _Write:
    work: Work
    done: Done
    result: Any = None
    error: BaseException | None = None


def build_engine(url: sa.URL, *, begin: str, pool_size: int) -> sa.Engine:
    """`begin`: the statement that starts each transaction; empty if the user of the connection does it."""
    engine = sa.create_engine(
        url, pool_size=pool_size, max_overflow=0, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000}
    )

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's own BEGIN is deferred, and sent only before the first write; ours is explicit.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA cache_size=-65536")

    if begin:

        @sa.event.listens_for(engine, "begin")
        def begin_transaction(connection: sa.Connection) -> None:
            connection.exec_driver_sql(begin)

    return engine


class ProcessLock:
    """Allows one registry process for each SQLite file: two would both number events and expire leases."""

    def __init__(self, database: str) -> None:
        self._path = Path(f"{database}.lock")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + LOCK_WAIT_SECONDS
        while True:
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(self._handle)
                    raise RefusedToStart(
                        f"another registry already uses this database ({self._path} is locked)"
                    ) from None
                time.sleep(0.05)

    def release(self) -> None:
        os.close(self._handle)


class SqliteBackend:
    dialect = "sqlite"

    def __init__(self, url: sa.URL) -> None:
        if not url.database or url.database == ":memory:":
            raise RefusedToStart("database_url: SQLite needs a file, e.g. sqlite:////var/lib/lepton/registry.db")
        self._lock = ProcessLock(url.database)
        self._writer = build_engine(url, begin="", pool_size=1)
        self._reader = build_engine(url, begin="BEGIN", pool_size=READERS)
        # Before other connections exist: the change to WAL does not wait for locks.
        self._connection = self._writer.connect()
        driver = self._connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        self._driver = driver
        self._reads = ThreadPoolExecutor(READERS, thread_name_prefix="database-read")
        self._waiting: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_loop, name="database-write", daemon=True)
        self._thread.start()

    def submit_write(self, work: Work, done: Done) -> None:
        self._waiting.put(_Write(work, done))

    def submit_read(self, work: Work, done: Done) -> None:
        self._reads.submit(self._run_read, work, done)

    def _run_read(self, work: Work, done: Done) -> None:
        try:
            with self._reader.connect() as connection:
                result = work(connection)
        except BaseException as error:  # noqa: BLE001 - handed to the caller
            done(None, error)
        else:
            done(result, None)

    def _write_loop(self) -> None:
        # Does not wait for a group to fill: the group is what arrived during the last commit.
        while (first := self._waiting.get()) is not None:
            group = [first]
            stop = False
            while len(group) < MAX_GROUP:
                try:
                    write = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if write is None:
                    stop = True
                    break
                group.append(write)
            self._commit_with_retries(group)
            # After the commit: a caller must not answer before its write is on disk.
            for write in group:
                write.done(write.result, write.error)
            if stop:
                break

    def _commit_with_retries(self, group: list[_Write]) -> None:
        for attempt in range(BUSY_RETRIES + 1):
            try:
                self._commit(group)
                return
            except (sa.exc.OperationalError, sqlite3.OperationalError) as error:
                # Another program may hold a lock, such as a backup. The group was rolled back, so it can run again.
                if attempt < BUSY_RETRIES and "locked" in str(error):
                    continue
                self._fail_together(group, error)
                return
            except BaseException as error:  # noqa: BLE001 - handed to every caller of the group
                self._fail_together(group, error)
                return

    def _fail_together(self, group: list[_Write], error: BaseException) -> None:
        log.error("a write transaction failed: %s", error)
        for write in group:
            write.result, write.error = None, error

    def _commit(self, group: list[_Write]) -> None:
        """Begins and ends transactions directly at the driver: SQLAlchemy's own way costs more than a small write."""
        # IMMEDIATE takes the write lock now: a deferred transaction could fail later, when it upgrades its read lock.
        self._driver.execute("BEGIN IMMEDIATE")
        try:
            # A single write needs no savepoint, which would cost two more statements.
            if len(group) == 1:
                self._attempt(group[0])
                if group[0].error is not None:
                    self._driver.execute("ROLLBACK")
                    return
            else:
                for write in group:
                    self._attempt_in_savepoint(write)
            self._driver.execute("COMMIT")
        except BaseException:
            if self._driver.in_transaction:
                self._driver.execute("ROLLBACK")
            raise

    def _attempt(self, write: _Write) -> None:
        write.result = write.error = None
        try:
            write.result = write.work(self._connection)
        except Exception as error:
            if not self._driver.in_transaction:
                # SQLite has rolled back everything (a full or broken disk), so the whole group fails.
                raise
            write.error = error

    def _attempt_in_savepoint(self, write: _Write) -> None:
        """Runs a write in a savepoint, so that a failing one rolls back only itself."""
        self._driver.execute("SAVEPOINT one")
        self._attempt(write)
        if write.error is not None:
            self._driver.execute("ROLLBACK TO one")
        self._driver.execute("RELEASE one")

    def close(self) -> None:
        self._waiting.put(None)
        self._thread.join()
        self._reads.shutdown()
        self._reader.dispose()
        self._connection.close()
        self._writer.dispose()
        self._lock.release()
