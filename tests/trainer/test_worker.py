"""The worker's loop as a process, before a registry in this process: real servicers, database and object store."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from redis import Redis

from lepton_core.ids import digest_of
from lepton_core.jobs.spec import JobSpec
from lepton_core.queue import WAKE_TASK, WAKEUP_QUEUE, build_celery
from lepton_fixtures.processes import ServerProcess, slowness, wait_until
from lepton_fixtures.registry_calls import put_files
from lepton_fixtures.servers import S3Bucket, ValkeyServer
from lepton_proto.v1 import runs_pb2, workers_pb2
from lepton_proto.v1.runs_pb2_grpc import RunServiceStub
from lepton_proto.v1.workers_pb2_grpc import WorkerServiceStub
from services.registry.tests.conftest import Server, make_settings

WAITS = "import time; print('waits', flush=True); time.sleep(600)"
SUCCEEDED = runs_pb2.RUN_STATE_SUCCEEDED


class Desk:
    """A registry without a queue, and workers before it."""

    def __init__(self, folder: Path, server: Server, stack: AsyncExitStack) -> None:
        self.home = folder / "worker"
        self._folder, self._server, self._stack = folder, server, stack
        self.ready = folder / "ready"

    async def worker(self, token: str = "", **settings: str) -> ServerProcess:
        """One that has registered."""
        (self._folder / "pool.token").write_text(token or self._server.tokens["trainer"])
        environment = {
            "LEPTON_TRAINER_HOME": str(self.home),
            "LEPTON_TRAINER_REGISTRY_ADDRESS": self._server.address,
            "LEPTON_TRAINER_POOL_TOKEN_FILE": str(self._folder / "pool.token"),
            "LEPTON_TRAINER_READY_FILE": str(self.ready),
            "LEPTON_TRAINER_POLL_SECONDS": "0.2",
            "LEPTON_TRAINER_HEARTBEAT_SECONDS": "0.5",
        } | {f"LEPTON_TRAINER_{name.upper()}": value for name, value in settings.items()}
        command = [sys.executable, "-m", "lepton_trainer.main"]
        self.ready.unlink(missing_ok=True)
        # In a thread: this one answers the worker.
        process = await asyncio.to_thread(ServerProcess, command, self.log, self.ready.exists, environment)
        self._stack.push_async_callback(asyncio.to_thread, process.stop)
        return process

    @property
    def log(self) -> Path:
        return self._folder / "worker.log"

    async def submit(self, program: str, **spec: object) -> str:
        gateway = await self._server.gateway()
        code, _ = await put_files(gateway, {"train.py": program.encode()})
        body = {"name": "script", "script": {"entry": "train.py", "code": code}} | spec
        text = JobSpec.model_validate(body).model_dump_json()
        submission = runs_pb2.Submission(
            spec_json=text,
            key_namespace="client",
            idempotency_key=uuid.uuid4().hex,
            request_digest=f"1:{digest_of(text.encode())}",
        )
        [outcome] = (
            await RunServiceStub(gateway).SubmitRuns(runs_pb2.SubmitRunsRequest(submissions=[submission]))
        ).outcomes
        assert not outcome.HasField("error"), outcome.error
        return str(outcome.run.id)

    async def run(self, run_id: str) -> runs_pb2.Run:
        stub = RunServiceStub(await self._server.gateway())
        return (await stub.GetRun(runs_pb2.GetRunRequest(id=run_id))).run

    async def attempts(self, run_id: str) -> list[int]:
        """The states of its attempts, in order."""
        stub = RunServiceStub(await self._server.gateway())
        answer = await stub.ListAttempts(runs_pb2.ListAttemptsRequest(run_id=run_id))
        return [attempt.state for attempt in answer.attempts]

    async def announced(self) -> list[workers_pb2.Worker]:
        stub = WorkerServiceStub(await self._server.gateway())
        return list((await stub.ListWorkers(workers_pb2.ListWorkersRequest())).workers)

    async def until(self, run_id: str, state: int, seconds: float = 100) -> runs_pb2.Run:
        deadline = time.monotonic() + seconds * slowness()
        while time.monotonic() < deadline:
            run = await self.run(run_id)
            if run.state == state:
                return run
            await asyncio.sleep(0.1)
        raise AssertionError(f"{run_id} is not in state {state}: {await self.run(run_id)}\n{self.log.read_text()}")


@pytest.fixture
async def desk(tmp_path: Path, sqlite_url: str, s3: S3Bucket) -> AsyncIterator[Desk]:
    server = Server(*make_settings(tmp_path, sqlite_url, s3))
    await server.start()
    async with AsyncExitStack() as stack:
        yield Desk(tmp_path, server, stack)
    await server.stop()


async def test_a_worker_announces_itself_runs_a_script_and_leaves_nothing(desk: Desk) -> None:
    run_id = await desk.submit("print('hello')")
    await desk.worker()
    [worker] = await desk.announced()
    assert {recipe.partition("@")[0] for recipe in worker.recipes} >= {"vision.classifier", "tabular"}
    assert (worker.accepts_scripts, worker.id) == (True, (desk.home / "worker-id").read_text().strip())
    run = await desk.until(run_id, SUCCEEDED)
    assert run.progress == 1.0
    assert await desk.attempts(run_id) == [runs_pb2.ATTEMPT_STATE_SUCCEEDED]
    await asyncio.to_thread(wait_until, lambda: not list((desk.home / "attempts").iterdir()), 10, "the workspace to go")


async def test_a_worker_that_starts_anew_frees_its_lease_and_takes_the_run_again(desk: Desk) -> None:
    run_id = await desk.submit(WAITS)
    worker = await desk.worker()
    await desk.until(run_id, runs_pb2.RUN_STATE_RUNNING)
    await asyncio.to_thread(worker.kill)
    await desk.worker()
    # At once: the lease would hold for longer than all of this takes.
    assert (await desk.attempts(run_id))[0] == runs_pb2.ATTEMPT_STATE_LOST
    await desk.until(run_id, runs_pb2.RUN_STATE_RUNNING)
    assert len(await desk.attempts(run_id)) == 2
    [announced] = await desk.announced()
    assert announced.id == (desk.home / "worker-id").read_text().strip()


async def test_a_worker_that_is_told_to_stop_gives_its_run_back(desk: Desk) -> None:
    run_id = await desk.submit(WAITS)
    worker = await desk.worker(drain_seconds="6")
    await desk.until(run_id, runs_pb2.RUN_STATE_RUNNING)
    process = worker.process
    assert process is not None
    process.terminate()
    assert await asyncio.to_thread(process.wait, 30) == 0
    assert await desk.attempts(run_id) == [runs_pb2.ATTEMPT_STATE_RELEASED]
    assert (await desk.run(run_id)).state == runs_pb2.RUN_STATE_QUEUED


async def test_a_worker_with_a_wrong_token_ends_and_says_why(desk: Desk) -> None:
    with pytest.raises(AssertionError, match="must stop: the credentials"):
        await desk.worker(token="lps_trainer_" + "0" * 43)


async def test_a_hint_wakes_the_worker_at_once(desk: Desk, valkey: ValkeyServer) -> None:
    await desk.worker(poll_seconds="300", broker_url=valkey.url)
    with Redis.from_url(valkey.url) as client:
        await asyncio.to_thread(wait_until, lambda: listens(client), 20, "the worker to listen for hints")
    run_id = await desk.submit("print('awake')")
    app = build_celery(valkey.url)
    with app.connection_for_write() as connection:
        app.send_task(WAKE_TASK, queue=WAKEUP_QUEUE, connection=connection)
    await desk.until(run_id, SUCCEEDED)


def listens(client: Redis) -> bool:
    return any(str(each["cmd"]).lower().startswith("brpop") for each in client.client_list())
