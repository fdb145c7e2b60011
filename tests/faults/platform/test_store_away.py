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
from typing import Protocol

import pytest

from faults.platform.conftest import running_with_images
from lepton.transport.http import Transport
from lepton.transport.transfer import Wires
from lepton_core.api import RunState, Upload
from lepton_core.objects.folder import scan
from lepton_core.objects.transfer import send
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


class Story(Protocol):
    """Its `__init__` is what was before."""

    def begin(self) -> None:
        """The store has just gone."""

    def holds(self) -> bool:
        """All the while."""

    def end(self) -> None:
        """The store is back."""


def tell(away: Away, *stories: Story) -> None:
    with away():
        for story in stories:
            story.begin()
        stays(lambda: all(story.holds() for story in stories), AWAY_SECONDS, "all of it waits")
    for story in stories:
        story.end()


class TrainingJob:
    """Checkpoints, logs, and at the end the model: all of them have to wait."""

    def __init__(self, running: RunningPlatform, undisturbed: Curve) -> None:
        self.running, self.undisturbed = running, undisturbed
        client = running.client()
        self.run = client.jobs.submit(images_job() | {"register": {"model": "waited"}}, progress=False)
        wait_checkpoint(client, self.run)

    def begin(self) -> None: ...

    def holds(self) -> bool:
        return self.run.refresh().state is RunState.RUNNING

    def end(self) -> None:
        assert len(assert_succeeded(self.running, self.run)) == 1
        assert curve(self.run) == self.undisturbed
        assert self.run.model_version is not None


class FreshJob:
    """It begins without its inputs."""

    def __init__(self, running: RunningPlatform, folder: Path, first: int) -> None:
        self.running, self.client = running, running.client()
        # Bytes that no attempt has fetched before: the worker keeps its inputs.
        push_images(self.client, folder, first)

    def begin(self) -> None:
        self.run = self.client.jobs.submit(images_job(epochs=2), progress=False)
        wait_until(lambda: self.run.refresh().state is RunState.RUNNING, START_SECONDS, "the claim")

    def holds(self) -> bool:
        return self.run.refresh().state is RunState.RUNNING and not self.run.metric_points()

    def end(self) -> None:
        assert len(assert_succeeded(self.running, self.run)) == 1


class Push:
    """Of small files, which the registry writes, and of one that goes to the store by itself."""

    def __init__(self, running: RunningPlatform, folder: Path, pool: ThreadPoolExecutor) -> None:
        self.client, self.folder, self.pool = running.client(), folder / "pushed", pool
        self.name = f"pushed-{random.randrange(1 << 30)}"
        self.folder.mkdir()
        (self.folder / "small.csv").write_text(f"a,b\n1,{self.name}\n")
        (self.folder / "large.bin").write_bytes(random.randbytes(3_000_000))

    def begin(self) -> None:
        self.pushed = self.pool.submit(self.client.datasets.push_reported, self.name, self.folder, progress=False)

    def holds(self) -> bool:
        return not self.pushed.done()

    def end(self) -> None:
        assert self.pushed.result(60).created
        back = self.folder.with_name("pulled")
        self.client.datasets.pull(self.name, back, progress=False)
        for file in self.folder.iterdir():
            assert (back / file.name).read_bytes() == file.read_bytes()


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


class LargeFile:
    """Its parts meet a store that is away, and that may, having been killed, have forgotten the upload."""

    def __init__(self, running: RunningPlatform, folder: Path, pool: ThreadPoolExecutor) -> None:
        (folder / "large").mkdir()
        (folder / "large" / "large.bin").write_bytes(random.randbytes(3_000_000))
        self.files = scan(folder / "large")
        self.wires = Interrupted(running.client()._transport)
        self.sent = pool.submit(send, self.files, self.wires)
        assert self.wires.has_ticket.wait(START_SECONDS)

    def begin(self) -> None:
        self.wires.goes_on.set()

    def holds(self) -> bool:
        return not self.sent.done()

    def end(self) -> None:
        assert self.sent.result(60) == 3_000_000
        assert not self.wires.find_missing([file.digest for file in self.files])
        self.wires.__exit__(None, None, None)


class Serving:
    """What serves goes on, also when inference starts anew; what is new comes afterwards."""

    def __init__(self, running: RunningPlatform, caller: Caller) -> None:
        self.running, self.caller = running, caller
        self.name = f"sum-{random.randrange(1 << 30)}"
        # Bytes that no test has served before: inference keeps what it has fetched.
        self.old, self.new = (float(random.randrange(1 << 20)) for _ in range(2))
        serve(caller, self.name, self.old)
        self.version = import_version(caller, self.name, adder(self.new))

    def begin(self) -> None:
        deploy(self.caller, self.name, f"{self.name}@{self.version}")
        assert self.holds()
        self.running.wait_back("inference", self.running.kill("inference"))
        wait_until(lambda: answers(self.caller, self.name, self.old), SERVE_SECONDS, "an answer after the restart")

    def holds(self) -> bool:
        return constant_of(ask(self.caller, self.name)) == self.old and self.state() == "pending"

    def state(self) -> str:
        return str(self.caller.gateway.get(f"/v1/deployments/{self.name}").json()["desired"]["state"])

    def end(self) -> None:
        wait_until(lambda: answers(self.caller, self.name, self.new), 2 * SERVE_SECONDS, "the new version")
        wait_until(lambda: self.state() == "ready", SERVE_SECONDS, "the registry to know")


def test_a_training_job_and_uploads_wait_and_lose_nothing(
    running: RunningPlatform, undisturbed: Curve, away: Away, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(2) as pool:
        stories = (LargeFile(running, tmp_path, pool), Push(running, tmp_path, pool), TrainingJob(running, undisturbed))
        tell(away, *stories)


def test_a_job_without_its_inputs_waits_and_what_serves_goes_on(
    running: RunningPlatform, away: Away, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    caller = Caller(running, key(running.api_key))
    first = 400 if "killed" in request.node.name else 800
    try:
        tell(away, Serving(running, caller), FreshJob(running, tmp_path / "images", first))
    finally:
        caller.close()
