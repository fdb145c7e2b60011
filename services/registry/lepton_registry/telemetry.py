"""Prometheus metrics from the registry's database, read at each scrape."""

import asyncio
from collections.abc import Iterable, Iterator

import sqlalchemy as sa

from lepton_core.api import RunState
from lepton_core.metrics import Sample, Source
from lepton_registry.database.engine import Database, now_us
from lepton_registry.events.store import CURSORS, EVENTS, NUMBERED
from lepton_registry.runs.attempts import ATTEMPTS, RUNS
from lepton_registry.runs.states import AttemptState

SCRAPE_SECONDS = 10.0
_OUTBOX = sa.select(sa.func.count(), sa.func.min(EVENTS.c.at_us)).select_from(EVENTS).where(EVENTS.c.position.is_(None))


def source(database: Database, loop: asyncio.AbstractEventLoop) -> Source:
    """For the scrape's thread: runs the query on `loop`, the event loop of the database."""

    def read() -> Iterable[Sample]:
        question = database.read(lambda conn: list(samples(conn)))
        return asyncio.run_coroutine_threadsafe(question, loop).result(SCRAPE_SECONDS)

    return read


def samples(conn: sa.Connection) -> Iterator[Sample]:
    by_state = conn.execute(sa.select(RUNS.c.state, sa.func.count()).group_by(RUNS.c.state))
    runs = {str(state): int(count) for state, count in by_state}
    for state in RunState:
        yield Sample("lepton_runs", "Runs by state; those queued are the queue.", runs.get(state, 0), {"state": state})
    leases = conn.scalar(sa.select(sa.func.count()).where(ATTEMPTS.c.state == AttemptState.RUNNING))
    yield Sample("lepton_leases", "Attempts that hold a lease.", leases or 0)
    waiting, oldest_us = conn.execute(_OUTBOX).one()
    yield Sample("lepton_outbox_events", "Events that have no position yet.", waiting)
    age = max(0, now_us() - oldest_us) / 1e6 if oldest_us else 0.0
    yield Sample("lepton_outbox_lag_seconds", "Age of the oldest event that has no position yet.", age)
    yield from _readers(conn)


def _readers(conn: sa.Connection) -> Iterator[Sample]:
    found = conn.execute(sa.select(CURSORS.c.name, CURSORS.c.position))
    cursors = {str(name): int(position) for name, position in found}
    last = cursors.pop(NUMBERED, 0)
    for reader, position in cursors.items():
        of = {"reader": reader}
        yield Sample("lepton_event_reader_lag", "Events that a reader has not delivered.", max(0, last - position), of)
