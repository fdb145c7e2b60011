"""Access to the database: write and read transactions, locks, and a signal after each commit.

A write is a function of its connection without other effects: it may run again after a conflict. It makes no network
calls, and sees all that was committed before it. On SQLite, where a write costs mainly its fsync, one thread runs all
waiting writes in one transaction, each in its own savepoint.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Protocol, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel

from lepton_core.errors import ErrorCode, LeptonError
from lepton_registry.database.tables import LockRow
from lepton_registry.refusal import RefusedToStart

Result = TypeVar("Result")
Work = Callable[[sa.Connection], Result]
# Limits the parameters of a statement, and the number of different statements that are cached.
MAX_ROWS_A_STATEMENT = 32


def now_us() -> int:
    """Microseconds UTC. Only for display and ordering: leases use the leader's clock (see scheduling.leases)."""
    return time.time_ns() // 1000


def table(model: type[SQLModel]) -> sa.Table:
    """The Core table of a SQLModel class: statements on it need no mapper."""
    return cast("sa.Table", sa.inspect(model).local_table)


LOCKS = table(LockRow)


def hold_lock(conn: sa.Connection, name: str) -> None:
    """Holds the lock row until the transaction ends. On SQLite there is only one write transaction at a time."""
    if conn.dialect.name == "sqlite":
        return
    statement = sa.select(LOCKS.c.name).where(LOCKS.c.name == name).with_for_update()
    if conn.execute(statement).first() is None:
        insert_new(conn, LOCKS, {"name": name})
        conn.execute(statement)


def insert_new(conn: sa.Connection, into: sa.Table, values: dict[str, Any]) -> bool:
    """Inserts a row, unless a unique key exists already. Returns whether the row is new."""
    statement = _insert_or_nothing(into, conn.dialect.name)
    # Without the option, SQLAlchemy returns -1 for inserts on PostgreSQL.
    return conn.execute(statement, values, execution_options={"preserve_rowcount": True}).rowcount == 1


def change_row(
    conn: sa.Connection, of: sa.Table, key: Mapping[str, Any], start: Mapping[str, Any], change: Mapping[str, Any]
) -> sa.Row[Any]:
    """Changes the row of `key` and returns it; if there is none, one is made of `key` and `start` first.

    It stays locked until the transaction ends, so the changes of a counter are in commit order.
    """
    mine = sa.and_(*(of.c[name] == value for name, value in key.items()))
    statement = sa.update(of).where(mine).values(**change).returning(*of.c)
    row = conn.execute(statement).first()
    if row is None:
        insert_new(conn, of, {**key, **start})
        row = conn.execute(statement).one()
    return row


def insert_new_rows(conn: sa.Connection, into: sa.Table, rows: Sequence[Mapping[str, Any]]) -> int:
    """Inserts plain values with as few statements as possible, except rows whose unique key exists already. Returns the
    number of new rows.

    On SQLite each statement releases the interpreter's lock and must wait for it again, which costs more than a small
    statement itself.
    """
    found = 0
    for start in range(0, len(rows), MAX_ROWS_A_STATEMENT):
        part = rows[start : start + MAX_ROWS_A_STATEMENT]
        names, text = _insert_rows_or_nothing(into, conn.dialect.paramstyle, len(part))
        found += conn.exec_driver_sql(text, tuple(row[name] for row in part for name in names)).rowcount
    return found


@cache
def _insert_rows_or_nothing(into: sa.Table, paramstyle: str, count: int) -> tuple[tuple[str, ...], str]:
    """The columns in the order of their values, and the statement. Columns numbered by the database are left out."""
    names = tuple(column.name for column in into.c if column is not into.autoincrement_column)
    row = "({})".format(", ".join(["?" if paramstyle == "qmark" else "%s"] * len(names)))
    quoted = ", ".join(f'"{name}"' for name in names)
    values = ", ".join([row] * count)
    return names, f'INSERT INTO "{into.name}" ({quoted}) VALUES {values} ON CONFLICT DO NOTHING'  # noqa: S608 - only our own names


@cache
def _insert_or_nothing(into: sa.Table, dialect: str) -> sa.Insert:
    if dialect == "sqlite":
        return sqlite.insert(into).on_conflict_do_nothing()
    return postgresql.insert(into).on_conflict_do_nothing()


class CommitSignal:
    """Counts commits of this process and wakes tasks that wait for the next one. Only for the event loop's thread."""

    def __init__(self) -> None:
        self.count = 0
        self._next = asyncio.Event()

    def notify(self) -> None:
        self.count += 1
        waited, self._next = self._next, asyncio.Event()
        waited.set()

    async def wait(self, seen: int, timeout_seconds: float) -> int:
        """Returns the current count as soon as it differs from `seen`, or after the timeout."""
        if self.count == seen:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_seconds):
                    await self._next.wait()
        return self.count


class Backend(Protocol):
    """Runs work on the threads of one kind of database."""

    dialect: str

    def submit_write(self, work: Work[Any], done: Callable[[Any, BaseException | None], None]) -> None: ...
    def submit_read(self, work: Work[Any], done: Callable[[Any, BaseException | None], None]) -> None: ...
    def close(self) -> None: ...


class Database:
    """`write` and `read` for the event loop; the work runs on threads of the backend."""

    def __init__(self, backend: Backend) -> None:
        self.commits = CommitSignal()
        self._backend = backend
        self._loop = asyncio.get_running_loop()

    @property
    def dialect(self) -> str:
        return self._backend.dialect

    async def write(self, work: Work[Result]) -> Result:
        """Run `work` in a write transaction; returns after the commit."""
        future: asyncio.Future[Result] = self._loop.create_future()

        def done(result: Result, error: BaseException | None) -> None:
            self._loop.call_soon_threadsafe(self._settle, future, result, error, True)

        self._backend.submit_write(work, done)
        return await future

    async def read(self, work: Work[Result]) -> Result:
        """Run `work` in a read transaction (one snapshot on SQLite)."""
        future: asyncio.Future[Result] = self._loop.create_future()

        def done(result: Result, error: BaseException | None) -> None:
            self._loop.call_soon_threadsafe(self._settle, future, result, error, False)

        self._backend.submit_read(work, done)
        return await future

    def _settle(
        self, future: asyncio.Future[Result], result: Result, error: BaseException | None, written: bool
    ) -> None:
        if written and error is None:
            self.commits.notify()
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(public_error(error))

    async def close(self) -> None:
        await asyncio.to_thread(self._backend.close)


def public_error(error: BaseException) -> BaseException:
    """The LeptonError of a database error: UNAVAILABLE, so that the caller tries again, if the database is down, locked
    or full; INVALID for a value that it cannot store."""
    # SQLite's transactions begin and end at the driver, which raises its own errors.
    if isinstance(error, (sa.exc.OperationalError, sa.exc.TimeoutError, sqlite3.OperationalError)):
        unavailable = LeptonError(ErrorCode.UNAVAILABLE, "the database is not available")
        unavailable.__cause__ = error
        return unavailable
    if isinstance(error, sa.exc.DataError):
        # PostgreSQL refuses zero characters in text; other values that it refuses are checked before.
        refused = LeptonError(ErrorCode.INVALID, "a text holds a zero character, or a number is too large")
        refused.__cause__ = error
        return refused
    return error


def open_database(url: str) -> Database:
    """For `sqlite:///path` and `postgresql+psycopg://…`. Needs a running event loop."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        from lepton_registry.database.sqlite import SqliteBackend

        return Database(SqliteBackend(parsed))
    if parsed.get_backend_name() == "postgresql":
        from lepton_registry.database.postgres import PostgresBackend

        return Database(PostgresBackend(parsed))
    raise RefusedToStart(f"database_url: {parsed.get_backend_name()!r} is not supported; allowed: sqlite, postgresql")
