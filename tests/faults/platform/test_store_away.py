"""The object store is away for 20 s: whatever needs it waits, and nothing fails.

Each test runs twice: `killed` refuses connections, `stopped` accepts them and never answers.
"""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from faults.platform.conftest import running_with_images
from lepton.datasets import DatasetPush
from lepton.folders import Wires
from lepton.transport import Transport
from lepton_core.objects.folder import scan
from lepton_core.objects.transfer import send
from lepton_core.resources import RunState, Upload
from lepton_fixtures.callers import Caller, key
from lepton_fixtures.jobs import (
    START_SECONDS,
    Curve,
    assert_succeeded,
    curve,
    images_job,
    push_images,
    wait_checkpoint,
)
from lepton_fixtures.packages import adder
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import stays, wait_until
from lepton_fixtures.servers import S3Server
from lepton_fixtures.serving import SERVE_SECONDS, answers, ask, constant_of, deploy, import_version, serve

pytestmark = pytest.mark.timeout(400)
AWAY_SECONDS = 20

Away = Callable[[], AbstractContextManager[None]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    server = S3Server(tmp_path_factory.mktemp("store"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def running(store: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    settings = {
        "LEPTON_LOCAL_OBJECT_STORE__ENDPOINT": store.endpoint,
        "LEPTON_LOCAL_OBJECT_STORE__ACCESS_KEY": store.access_key,
        "LEPTON_LOCAL_OBJECT_STORE__SECRET_KEY": store.secret_key,
    }
    with running_with_images(tmp_path_factory.mktemp("store-away"), settings) as platform:
        yield platform


@pytest.fixture(params=["killed", "stopped"])
def away(request: pytest.FixtureRequest, store: S3Server) -> Away:
    """A context in which the store does not serve."""

    @contextmanager
    def killed() -> Iterator[None]:
        store.kill()
        try:
            yield
        finally:
            store.start()

    @contextmanager
    def stopped() -> Iterator[None]:
        assert store.process is not None
        store.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            store.process.send_signal(signal.SIGCONT)

    return killed if request.param == "killed" else stopped


def test_a_training_job_waits_and_loses_nothing(running: RunningPlatform, undisturbed: Curve, away: Away) -> None:
    client = running.client()
    run = client.jobs.submit(images_job() | {"register": {"model": "waited"}}, progress=False)
    wait_checkpoint(client, run)
    with away():
        # Checkpoints, logs, and at the end the model: all of them have to wait.
        stays(lambda: run.refresh().state is RunState.RUNNING, AWAY_SECONDS, "the run goes on")
    attempts = assert_succeeded(running, run)
    assert len(attempts) == 1
    assert curve(run) == undisturbed
    assert run.model_version is not None


def test_a_job_whose_inputs_cannot_be_fetched_waits(
    running: RunningPlatform, away: Away, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    client = running.client()
    # Bytes that no attempt has fetched before: the worker keeps its inputs.
    push_images(client, tmp_path / "images", first=400 if "killed" in request.node.name else 800)
    job = images_job(epochs=2)
    with away():
        run = client.jobs.submit(job, progress=False)
        wait_until(lambda: run.refresh().state is RunState.RUNNING, START_SECONDS, "the claim")
        stays(lambda: run.refresh().state is RunState.RUNNING, AWAY_SECONDS, "the run waits")
        assert not run.metric_points()
    assert len(assert_succeeded(running, run)) == 1


def test_a_push_waits_and_completes(running: RunningPlatform, away: Away, tmp_path: Path) -> None:
    """Of small files, which the registry writes, and of one that goes to the store by itself."""
    name = f"pushed-{random.randrange(1 << 30)}"
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "small.csv").write_text(f"a,b\n1,{name}\n")
    (folder / "large.bin").write_bytes(random.randbytes(3_000_000))
    client = running.client()
    begun = threading.Event()

    def push() -> DatasetPush:
        begun.set()
        return client.datasets.push_reported(name, folder, progress=False)

    with ThreadPoolExecutor(1) as pool:
        with away():
            pushed = pool.submit(push)
            assert begun.wait(10)
            stays(lambda: not pushed.done(), AWAY_SECONDS, "the push waits")
        assert pushed.result(60).created
    client.datasets.pull(name, tmp_path / "pulled", progress=False)
    for file in ("small.csv", "large.bin"):
        assert (tmp_path / "pulled" / file).read_bytes() == (folder / file).read_bytes()


class Interrupted(Wires):
    """Sends as the client does, but after the ticket for a large file was given out it waits to be told to go on."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self.has_ticket = threading.Event()
        self.goes_on = threading.Event()

    def create_upload(self, digest: str, size: int) -> Upload:
        upload = super().create_upload(digest, size)
        self.has_ticket.set()
        assert self.goes_on.wait(START_SECONDS)
        return upload


def test_a_large_file_whose_parts_meet_a_store_that_is_away(
    running: RunningPlatform, away: Away, tmp_path: Path
) -> None:
    """A store that was killed may also have forgotten the upload: it begins again."""
    (tmp_path / "large.bin").write_bytes(random.randbytes(3_000_000))
    files = scan(tmp_path)
    with Interrupted(running.client()._transport) as wires, ThreadPoolExecutor(1) as pool:
        sent = pool.submit(send, files, wires)
        assert wires.has_ticket.wait(START_SECONDS)
        with away():
            wires.goes_on.set()
            stays(lambda: not sent.done(), AWAY_SECONDS, "the parts wait")
        assert sent.result(60) == 3_000_000
        assert not wires.find_missing([file.digest for file in files])


def test_what_serves_goes_on_and_what_is_new_comes_afterwards(running: RunningPlatform, away: Away) -> None:
    name = f"sum-{random.randrange(1 << 30)}"
    # Bytes that no test has served before: inference keeps what it has fetched.
    old, new = (float(random.randrange(1 << 20)) for _ in range(2))
    caller = Caller(running, key(running.api_key))
    try:
        serve(caller, name, old)
        version = import_version(caller, name, adder(new))
        with away():
            deploy(caller, name, f"{name}@{version}")
            stays(lambda: constant_of(ask(caller, name)) == old, AWAY_SECONDS / 2, "the old version serves")
            running.wait_back("inference", running.kill("inference"))
            wait_until(lambda: answers(caller, name, old), SERVE_SECONDS, "the old version after a restart")
            stays(lambda: constant_of(ask(caller, name)) == old, AWAY_SECONDS / 2, "the old version serves")
            assert caller.gateway.get(f"/v1/deployments/{name}").json()["desired"]["state"] == "pending"
        wait_until(lambda: answers(caller, name, new), 2 * SERVE_SECONDS, "the new version")
    finally:
        caller.close()
