"""A database that the first release wrote is upgraded; today's servicers read all of it and go on with its work."""

import contextlib
import gzip
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from lepton_core.identity import attempt_token
from lepton_core.ids import digest_of, new_id
from lepton_core.objects.store import ObjectStore
from lepton_fixtures.registry_calls import claim, register_worker, submit
from lepton_proto.v1 import (
    artifacts_pb2,
    artifacts_pb2_grpc,
    attempts_pb2,
    attempts_pb2_grpc,
    runs_pb2,
    runs_pb2_grpc,
)
from lepton_registry.migrations.upgrade import configuration, upgrade

from .baseline.reading import read_everything
from .conftest import Server

BASELINE = Path(__file__).parent / "baseline"
RELEASED = "2026_11_21_1135"
# The bytes of logs lie in the object store, which is no part of the baseline.
LOG = b"epoch 1\n"
# What depends on the time of reading: whether a worker is up, and the sentence that tells why a run waits.
MOMENTARY = {"alive", "waiting_reason"}
STILL_KEPT_DAYS = 36_500


def restore(url: str) -> dict[str, Any]:
    """Put the rows of the first release into an empty database; what that release answered to each read."""
    name = "baseline.db" if url.startswith("sqlite") else "baseline.sql"
    rows, answers = (gzip.decompress((BASELINE / f"{name}{end}.gz").read_bytes()) for end in ("", ".json"))
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).write_bytes(rows)
    else:
        engine = sa.create_engine(url)
        with contextlib.closing(engine.raw_connection()) as connection:
            connection.cursor().execute(rows.decode())
            connection.commit()
        engine.dispose()
    return json.loads(answers)


def differences(before: Any, now: Any, where: str = "") -> list[str]:
    """What `before` has and `now` has not, or has otherwise. New fields of an answer are no difference."""
    if isinstance(before, dict) and isinstance(now, dict):
        kept = before.keys() - MOMENTARY - ({"reason"} if before.get("state") == "RUN_STATE_QUEUED" else set())
        return [each for name in sorted(kept) for each in differences(before[name], now.get(name), f"{where}.{name}")]
    if isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        pairs = enumerate(zip(before, now, strict=True))
        return [each for at, (one, other) in pairs for each in differences(one, other, f"{where}[{at}]")]
    return [] if before == now else [f"{where}: {before!r} is now {now!r}"]


@pytest.fixture
def answered(configured):
    settings, _ = configured
    answers = restore(settings.database_url)
    engine = sa.create_engine(settings.database_url)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT version_num FROM alembic_version")) == RELEASED
        tables = [name for name in sa.inspect(connection).get_table_names() if name != "locks"]
        # A table without a row would prove nothing.
        assert [name for name in tables if not connection.scalar(sa.text(f"SELECT count(*) FROM {name}"))] == []
        [log_key] = connection.scalars(sa.text("SELECT object_key FROM log_chunks"))
    engine.dispose()
    store = settings.object_store
    secret = store.secret_key.get_secret_value()
    ObjectStore(store.endpoint, store.access_key.get_secret_value(), secret, bucket=store.bucket).put(log_key, LOG)
    return answers


@pytest.fixture
async def released(configured, answered):
    """Today's registry on the first release's database. The rows grow older than what retention keeps by default."""
    settings, tokens = configured
    retention = settings.retention.model_copy(update={"log_days": STILL_KEPT_DAYS, "event_days": STILL_KEPT_DAYS})
    server = Server(settings.model_copy(update={"retention": retention}), tokens)
    await server.start()
    yield server
    await server.stop()


def run_named(answered: dict[str, Any], name: str) -> dict[str, Any]:
    [found] = [run for run in answered["runs"]["runs"] if run["name"] == name and "retry_of" not in run]
    return found


async def finish(server: Server, attempt_id: str, token: str) -> runs_pb2.Run:
    stub = attempts_pb2_grpc.AttemptServiceStub(await server.channel(token))
    beat = await stub.Heartbeat(attempts_pb2.HeartbeatRequest(attempt_id=attempt_id, progress=0.75))
    assert beat.directive == attempts_pb2.DIRECTIVE_CONTINUE
    done = attempts_pb2.FinishRequest(attempt_id=attempt_id, outcome=runs_pb2.ATTEMPT_STATE_SUCCEEDED)
    return (await stub.Finish(done)).run


def test_the_baseline_has_every_state(answered):
    runs = {run["state"].removeprefix("RUN_STATE_") for run in answered["runs"]["runs"]}
    assert runs == {"QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"}
    of_runs = [attempts for call, attempts in answered.items() if call.startswith("attempts of ")]
    states = {each["state"].removeprefix("ATTEMPT_STATE_") for one in of_runs for each in one.get("attempts", [])}
    # Nothing in the first release preempts.
    assert states == {"RUNNING", "SUCCEEDED", "FAILED", "LOST", "RELEASED", "CANCELLED"}


async def test_everything_that_the_first_release_answered_is_answered(released, answered):
    now = await read_everything(await released.gateway())
    # The key of this start's operator is new.
    old = {key["id"] for key in answered["keys"]["keys"]}
    now["keys"]["keys"] = [key for key in now["keys"]["keys"] if key["id"] in old]
    assert differences(answered, now) == []


async def test_an_attempt_that_the_first_release_began_goes_on(released, answered):
    run = run_named(answered, "runs")
    name = run["current_attempt_id"]
    secret = released.settings.attempt_token_secret_file.read_text().encode()
    ended = await finish(released, name, attempt_token(name, secret))
    assert (ended.id, ended.state) == (run["id"], runs_pb2.RUN_STATE_SUCCEEDED)


async def test_runs_that_wait_since_the_first_release_and_new_ones_are_given_to_workers(released, answered):
    gateway, pool = await released.gateway(), await released.pool()
    new = await submit(gateway, "new", name="new")
    worker = await register_worker(pool)
    waited = [run["id"] for run in reversed(answered["runs"]["runs"]) if run["state"] == "RUN_STATE_QUEUED"]
    for expected in [*waited, new.id]:
        assignment = await claim(pool, worker)
        assert assignment.run_id == expected
        ended = await finish(released, assignment.attempt_id, assignment.attempt_token)
        assert ended.state == runs_pb2.RUN_STATE_SUCCEEDED
    runs = runs_pb2_grpc.RunServiceStub(gateway)
    answer = await runs.ListRuns(runs_pb2.ListRunsRequest(state=runs_pb2.RUN_STATE_QUEUED))
    assert list(answer.runs) == []


async def test_what_the_first_release_was_sent_need_not_be_sent_again(released):
    gateway = await released.gateway()
    again = await submit(gateway, "waits", name="waits", train={"layers": [1, 2], "note": "größer"})
    assert again.state == runs_pb2.RUN_STATE_QUEUED
    runs = runs_pb2_grpc.RunServiceStub(gateway)
    names = [run.name for run in (await runs.ListRuns(runs_pb2.ListRunsRequest())).runs]
    assert names.count("waits") == 1
    artifacts = artifacts_pb2_grpc.ArtifactServiceStub(gateway)
    known, unknown = digest_of(b"a,b\n1,2\n"), digest_of(new_id("run").encode())
    missing = await artifacts.FindMissing(artifacts_pb2.FindMissingRequest(digests=[known, unknown]))
    assert list(missing.digests) == [unknown]


def test_the_backup_before_an_upgrade_is_the_database_of_the_first_release(sqlite_url):
    restore(sqlite_url)
    upgrade(sqlite_url)
    database = Path(sqlite_url.removeprefix("sqlite:///"))
    backups = list(database.parent.glob(f"{database.name}.before-*"))
    newer = ScriptDirectory.from_config(configuration()).get_current_head() != RELEASED
    assert [backup.name for backup in backups] == ([f"{database.name}.before-{RELEASED}-ended"] if newer else [])
    for backup in backups:
        with contextlib.closing(sqlite3.connect(backup)) as connection:
            assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(RELEASED,)]
