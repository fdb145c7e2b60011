"""The registry as a process: killed, restarted, stopped."""

import asyncio
import os
import signal
import socket
import subprocess
import sys

import pytest

from lepton_core.errors import LeptonError
from lepton_core.grpc.client import open_channel
from lepton_core.identity import Principal, PrincipalKind, Role
from lepton_core.ids import new_id
from lepton_fixtures.processes import ServerProcess, free_port
from lepton_fixtures.registry_calls import claim, push_dataset, register_worker, submit
from lepton_proto.v1 import attempts_pb2, attempts_pb2_grpc, runs_pb2, runs_pb2_grpc

COMMAND = [sys.executable, "-m", "lepton_registry.main"]
ACTING = Principal(PrincipalKind.KEY, "key_1", project=new_id("prj"), role=Role.EDITOR)


def environment_of(settings, port):
    store = settings.object_store
    values = {
        "LISTEN": f"127.0.0.1:{port}",
        "DATABASE_URL": settings.database_url,
        "SERVICE_TOKENS_FILE": settings.service_tokens_file,
        "ATTEMPT_TOKEN_SECRET_FILE": settings.attempt_token_secret_file,
        "OPERATOR_KEY_FILE": settings.operator_key_file,
        "OBJECT_STORE__ENDPOINT": store.endpoint,
        "OBJECT_STORE__ACCESS_KEY": store.access_key.get_secret_value(),
        "OBJECT_STORE__SECRET_KEY": store.secret_key.get_secret_value(),
        "OBJECT_STORE__BUCKET": store.bucket,
        "LEADER_TAKEOVER_SECONDS": "2",
        "LEASE_SECONDS": "3",
    }
    return {f"LEPTON_REGISTRY_{name}": str(value) for name, value in values.items()}


@pytest.fixture
def port():
    return free_port()


def answers_at(port):
    def answers():
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    return answers


@pytest.fixture
def process(tmp_path, configured, port):
    environment = environment_of(configured[0], port)
    started = ServerProcess(COMMAND, tmp_path / "registry.log", answers_at(port), environment)
    yield started
    started.kill()


@pytest.fixture
async def channels(configured, port, process):
    """(the gateway's, a worker's)"""
    tokens, address = configured[1], f"127.0.0.1:{port}"
    gateway = open_channel(address, tokens["gateway"], acting=lambda: ACTING)
    pool = open_channel(address, tokens["trainer"], acting=lambda: None)
    yield gateway, pool
    await gateway.close()
    await pool.close()


async def persistently(call, seconds=20):
    """What clients do: try again while the registry is away."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await call()
            except LeptonError as error:
                if not error.retryable:
                    raise
                await asyncio.sleep(0.05)


async def state_of(gateway, run_id):
    request = runs_pb2.GetRunRequest(id=run_id)
    return (await persistently(lambda: runs_pb2_grpc.RunServiceStub(gateway).GetRun(request))).run.state


async def test_what_was_accepted_survives_kill_9(process, channels):
    gateway, pool = channels
    await persistently(lambda: push_dataset(gateway))
    worker = await register_worker(pool)
    accepted = []

    async def submit_until_killed():
        for number in range(10_000):
            run = await submit(gateway, f"key-{number}")
            accepted.append(run.id)

    submitting = [asyncio.create_task(submit_until_killed())]
    async with asyncio.timeout(20):
        while len(accepted) < 50:  # noqa: ASYNC110 - the killing is to fall into the middle
            await asyncio.sleep(0)
    await asyncio.to_thread(process.kill)
    await asyncio.gather(*submitting, return_exceptions=True)
    await asyncio.to_thread(process.start)
    for run_id in accepted:
        assert await state_of(gateway, run_id) == runs_pb2.RUN_STATE_QUEUED
    # The client that got no answer sends the same key again, and makes no second run.
    again = await persistently(lambda: submit(gateway, "key-0"))
    assert again.id == accepted[0]
    assert (await persistently(lambda: claim(pool, worker))).run_id == accepted[0]


async def test_an_attempt_outlives_a_restart_longer_than_its_lease(configured, port, process, channels):
    """Lease time stands still while the registry is down."""
    gateway, pool = channels
    await persistently(lambda: push_dataset(gateway))
    worker = await register_worker(pool)
    await submit(gateway)
    assignment = await claim(pool, worker)
    assert assignment.lease_seconds == 3
    await asyncio.to_thread(process.kill)
    await asyncio.sleep(4)  # longer than the lease: that is what is tested
    await asyncio.to_thread(process.start)
    attempt = open_channel(f"127.0.0.1:{port}", assignment.attempt_token, acting=lambda: None)
    stub = attempts_pb2_grpc.AttemptServiceStub(attempt)
    beat = attempts_pb2.HeartbeatRequest(attempt_id=assignment.attempt_id)
    answer = await persistently(lambda: stub.Heartbeat(beat))
    assert answer.directive == attempts_pb2.DIRECTIVE_CONTINUE
    await attempt.close()
    # And without heartbeats it is lost, now that time runs again.
    async with asyncio.timeout(30):
        while await state_of(gateway, assignment.run_id) != runs_pb2.RUN_STATE_QUEUED:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def test_sigterm_ends_it_cleanly(process):
    process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(10) == 0


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("LEPTON_REGISTRY_LEASE_SECOND", "5", "did you mean LEPTON_REGISTRY_LEASE_SECONDS"),
        ("LEPTON_REGISTRY_LEASE_SECONDS", "1", "at least 3"),
        ("LEPTON_REGISTRY_RETENTION__DELETION_WAIT_SECONDS", "100", "must be more than read_url_seconds"),
        ("LEPTON_REGISTRY_DATABASE_URL", "mysql://x", "LEPTON_REGISTRY_DATABASE_URL"),
    ],
)
def test_a_wrong_setting_is_named_and_nothing_starts(sqlite_url, tmp_path, s3, name, value, told):
    from lepton_registry.settings import ObjectStoreSettings, RegistrySettings

    store = {field: getattr(s3, field) for field in ("endpoint", "access_key", "secret_key", "bucket")}
    settings = RegistrySettings(
        database_url=sqlite_url,
        object_store=ObjectStoreSettings.model_validate(store),
        service_tokens_file=tmp_path / "none",
        attempt_token_secret_file=tmp_path / "none",
        operator_key_file=tmp_path / "none",
    )
    environment = os.environ | environment_of(settings, 0) | {name: value}
    ended = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_of_two_registries_one_leads_and_the_other_takes_over(tmp_path, s3, postgres_url, make_configured):
    settings, tokens = make_configured(postgres_url)
    processes, logs = [], [tmp_path / "first.log", tmp_path / "second.log"]
    for log in logs:
        port = free_port()
        processes.append(ServerProcess(COMMAND, log, answers_at(port), environment_of(settings, port)))
        processes[-1].port = port
    try:
        leads = ["leading, term" in log.read_text() for log in logs]
        assert leads == [True, False]
        gateway = open_channel(f"127.0.0.1:{processes[1].port}", tokens["gateway"], acting=lambda: ACTING)
        pool = open_channel(f"127.0.0.1:{processes[1].port}", tokens["trainer"], acting=lambda: None)
        await persistently(lambda: push_dataset(gateway))
        worker = await register_worker(pool)
        await submit(gateway)
        assignment = await claim(pool, worker)
        await asyncio.to_thread(processes[0].kill)
        # Only a leader counts lease time: that the attempt is lost shows that there is one again.
        async with asyncio.timeout(60):
            while await state_of(gateway, assignment.run_id) != runs_pb2.RUN_STATE_QUEUED:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert "leading, term 2" in logs[1].read_text()
        await gateway.close()
        await pool.close()
    finally:
        for process in processes:
            process.kill()


def test_a_database_that_cannot_be_used_is_told_in_a_line(make_configured, tmp_path, port):
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"no database" * 1000)
    environment = environment_of(make_configured(f"sqlite:///{damaged}")[0], port)
    done = subprocess.run(
        COMMAND, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("registry: LEPTON_REGISTRY_DATABASE_URL: cannot use this database: ")
