"""Minutes of random kills, stops and floods while jobs come in by three doors and a model is asked: each accepted job
ends once, and each answer can be traced.

`make test-soak` runs it. LEPTON_SOAK_SECONDS is how long each platform is disturbed; LEPTON_SOAK_SEED repeats the same
choices, though not the same moments.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx
import psutil
import pytest
from redis import Redis
from redis.exceptions import RedisError

from lepton import Client, Run
from lepton_core.api import Attempt, RunState
from lepton_core.causes import EndCause
from lepton_core.queue import SUBMISSION_STREAM, reply_stream
from lepton_fixtures.attempt_trees import processes_marked
from lepton_fixtures.callers import Caller, key
from lepton_fixtures.databases import postgres_database
from lepton_fixtures.jobs import QUICK, assert_succeeded, curve
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import wait_until
from lepton_fixtures.serving import ask, constant_of, serve
from lepton_fixtures.submissions import Submission, message, runs_named

SECONDS = float(os.environ.get("LEPTON_SOAK_SECONDS", "75"))
SEED = int(os.environ.get("LEPTON_SOAK_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
# A loaded machine needs some seconds for each of the small trainings.
JOB_EVERY, FLOOD_EVERY, KILL_EVERY, ASK_EVERY = 6.0, 20.0, 4.0, 0.5
# Of four disturbances one is a stop instead of a kill, of some seconds: shorter or longer than the fence of 8 s.
STOP_SECONDS = 10.0
FLOOD = 40
PARTS = ("gateway", "registry", "queue", "objects", "inference", "trainer")
ROLES = ("supervisor", "guard", "program")
SERVED = "sum"
TABLE = "width,height,kind\n" + "".join(f"{i % 7},{i % 5},{'a' if i % 2 else 'b'}\n" for i in range(60))
# All trainings have the same seed, so all must have the same curve, however often they were interrupted.
TRAINING: dict[str, Any] = {
    "recipe": "tabular",
    "data": "table",
    "train": {"target": "kind", "epochs": 3, "seed": 7},
    "register": {"model": "soak"},
    "retries": 10,
}
# How an attempt may end that was disturbed from outside. Anything else would be a wrong diagnosis, or a fault of ours.
DISTURBED = {
    EndCause.RELEASED,
    EndCause.WORKER_RESTARTED,
    EndCause.LEASE_LOST,
    EndCause.REGISTRY_UNREACHABLE,
    EndCause.RANK_KILLED,
    EndCause.GUARD_LOST,
}
# So many ranks that no worker takes it: a flood waits in the queue until it is cancelled.
WAITING = TRAINING | {"resources": {"ranks": 64}}

_log = logging.getLogger(__name__)

pytestmark = pytest.mark.timeout(1500)


@dataclass
class Sent:
    """What was submitted, by the door that it went through."""

    submissions: list[Submission] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    # Ids of the answered predictions.
    predictions: list[str] = field(default_factory=list)

    def names(self) -> Counter[str]:
        called = [submission.name for submission in self.submissions]
        return Counter(called + [each["job"]["name"] for each in self.messages])


@pytest.fixture(params=["sqlite", "postgres"])
def soaked(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningPlatform]:
    """A platform on either database, with the dataset `table` and a model that is served."""
    settings = dict(QUICK)
    with ExitStack() as stack:
        if request.param == "postgres":
            folder = cast("Path", request.getfixturevalue("postgres_folder"))
            settings["LEPTON_LOCAL_DATABASE_URL"] = stack.enter_context(postgres_database(folder))
        running = RunningPlatform(tmp_path / "home", settings)
        stack.callback(running.stop)
        (tmp_path / "table").mkdir()
        (tmp_path / "table" / "table.csv").write_text(TABLE)
        running.client().datasets.push("table", tmp_path / "table", progress=False)
        serve(ask_caller(running, stack), SERVED, 1.0)
        yield running


def every(seconds: float, stopped: threading.Event, chance: random.Random, act: Callable[[], None]) -> None:
    """At random moments, on average that far apart, until it is stopped."""
    while not stopped.wait(chance.uniform(0.5, 1.5) * seconds):
        act()


class Producer:
    """Submits one training or one flood at a time, each by a door that chance takes."""

    def __init__(self, platform: RunningPlatform, chance: random.Random, sent: Sent, stack: ExitStack) -> None:
        self._caller = Caller(platform, key(platform.api_key))
        stack.callback(self._caller.close)
        self._queue = stack.enter_context(Redis.from_url(platform.queue_url("producers"), decode_responses=True))
        self._chance, self._sent = chance, sent

    def training(self) -> None:
        self._send(TRAINING | {"name": f"training-{len(self._sent.names())}"}, times=1)

    def flood(self) -> None:
        first = len(self._sent.names())
        jobs = [WAITING | {"name": f"flood-{first + index}"} for index in range(FLOOD)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda job: self._send(job, times=2), jobs))

    def _send(self, job: dict[str, Any], times: int) -> None:
        door = self._chance.choice(["http", "grpc", "stream"])
        if door == "stream":
            body = message(job)
            for _ in range(times):
                wait_until(lambda: self._add(body), 60, f"the queue to take {job['name']}")
            self._sent.messages.append(body)
            return
        submission = Submission(job, by_grpc=door == "grpc")
        for _ in range(times):
            before = submission.run
            submission.insist(self._caller)
            assert before in ("", submission.run), f"{submission.key} has two runs"
        self._sent.submissions.append(submission)

    def _add(self, body: dict[str, Any]) -> bool:
        with contextlib.suppress(RedisError):
            self._queue.xadd(SUBMISSION_STREAM, {"body": json.dumps(body)})
            return True
        return False


def ask_model(platform: RunningPlatform, caller: Caller, sent: Sent) -> None:
    """One prediction of the deployed model, whose answer is right or not there at all."""
    with contextlib.suppress(httpx.TransportError):
        answer = ask(caller, SERVED)
        if answer.status_code == 503:
            return
        assert constant_of(answer) == 1.0
        sent.predictions.append(answer.json()["parameters"]["prediction_id"])


def disturb_something(platform: RunningPlatform, chance: random.Random, killed: Counter[str]) -> None:
    """SIGKILL, or SIGSTOP for a while, to a part of the platform, or to a process of an attempt."""
    name = chance.choice(PARTS + ROLES)
    if name in PARTS:
        pids = [platform.part(name)["pid"]]
    else:
        worker_id = (platform.home / "worker" / "worker-id").read_text().strip()
        pids = [process.pid for process in processes_marked(worker_id=worker_id).get(name, [])]
    # Between two lives a part has no process, and attempts come and go.
    with contextlib.suppress(psutil.NoSuchProcess, IndexError, TypeError):
        process = psutil.Process(chance.choice(pids))
        if chance.random() < 0.75:
            process.kill()
            killed[name] += 1
        else:
            process.suspend()
            try:
                time.sleep(chance.uniform(0.1, STOP_SECONDS))
            finally:
                process.resume()
            killed[f"{name} (stopped)"] += 1


def disturb(platform: RunningPlatform, sent: Sent) -> Counter[str]:
    """Jobs, floods and kills until the time is over; how often what was killed."""
    stopped = threading.Event()
    killed: Counter[str] = Counter()
    acts: list[tuple[float, Callable[[random.Random, ExitStack], Callable[[], None]]]] = [
        (JOB_EVERY, lambda chance, stack: Producer(platform, chance, sent, stack).training),
        (FLOOD_EVERY, lambda chance, stack: Producer(platform, chance, sent, stack).flood),
        (KILL_EVERY, lambda chance, _: lambda: disturb_something(platform, chance, killed)),
        (ASK_EVERY, lambda _, stack: partial(ask_model, platform, ask_caller(platform, stack), sent)),
    ]
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(len(acts)))
        stack.callback(stopped.set)
        futures = []
        for number, (seconds, build) in enumerate(acts):
            chance = random.Random(f"{SEED}/{number}")
            futures.append(pool.submit(every, seconds, stopped, chance, build(chance, stack)))
        until = time.monotonic() + SECONDS
        while time.monotonic() < until and not any(future.done() for future in futures):
            time.sleep(0.1)
        stopped.set()
        for future in futures:
            future.result()
    return killed


def ask_caller(platform: RunningPlatform, stack: ExitStack) -> Caller:
    caller = Caller(platform, key(platform.api_key))
    stack.callback(caller.close)
    return caller


def replies(platform: RunningPlatform) -> dict[str, set[str]]:
    """The runs that each message of the queue was answered with."""
    with Redis.from_url(platform.queue_url("producers"), decode_responses=True) as redis:
        answered: dict[str, set[str]] = {}
        for _, fields in cast("Any", redis.xrange(reply_stream("intake"))):
            assert fields["status"] == "accepted", fields
            answered.setdefault(fields["message_id"], set()).add(fields["run_id"])
        return answered


def wait_whole(platform: RunningPlatform) -> None:
    """Until the runner has restarted all that was killed."""
    for name in PARTS:
        wait_until(lambda name=name: platform.part(name)["state"] == "ready", 90, f"{name} to be ready")


def runs_by_name(platform: RunningPlatform, sent: Sent) -> dict[str, str]:
    """The one run of each job that was accepted: none is missing, none is doubled, and none is there besides."""
    ids = {message["message_id"] for message in sent.messages}
    # What a killed gateway had taken from the stream is taken over when it has lain idle for 30 s.
    wait_until(lambda: replies(platform).keys() >= ids, 150, "a reply to every message")
    answered = replies(platform)
    assert all(len(runs) == 1 for runs in answered.values())
    assert runs_named(platform, "") == sent.names()
    found = {submission.name: submission.run for submission in sent.submissions}
    return found | {each["job"]["name"]: next(iter(answered[each["message_id"]])) for each in sent.messages}


def assert_cancelled(client: Client, run_id: str) -> None:
    """A run that waited: cancelled at once, without an attempt."""
    run = client.runs.get(run_id).cancel()
    assert (run.state, run.attempts()) == (RunState.CANCELLED, [])


def assert_right_causes(run: Run, attempts: list[Attempt]) -> None:
    """Of the attempts before the last, which succeeded."""
    found = [attempt.cause.code for attempt in attempts[:-1] if attempt.cause is not None]
    assert set(found) <= DISTURBED, f"{run.id}: {attempts}"


def assert_traced(client: Client, predictions: list[str]) -> None:
    """To the version of the model that gave the answer."""
    assert predictions
    for prediction in predictions:
        kinds = [node.kind for node in client.lineage(prediction).nodes]
        assert "model_version" in kinds, (prediction, kinds)


def test_every_accepted_job_ends_once(soaked: RunningPlatform) -> None:
    sent = Sent()
    killed = disturb(soaked, sent)
    # Pytest shows it when the test fails.
    told = "seed %d: %d jobs, %d predictions; killed %s"
    _log.warning(told, SEED, sent.names().total(), len(sent.predictions), dict(killed))
    wait_whole(soaked)
    runs = runs_by_name(soaked, sent)
    client = soaked.client()
    for name, run_id in runs.items():
        if name.startswith("flood-"):
            assert_cancelled(client, run_id)
    trainings = [client.runs.get(run_id) for name, run_id in runs.items() if name.startswith("training-")]
    assert trainings
    for run in trainings:
        assert_right_causes(run, assert_succeeded(soaked, run))
    assert_traced(client, sent.predictions)
    expected = curve(trainings[0])
    assert expected
    assert [run.id for run in trainings if curve(run) != expected] == []
    versions = {version.run_id: version.id for version in client.models.versions("soak")}
    assert len(versions) == len(client.models.versions("soak")), "a run has registered twice"
    assert versions == {run.id: run.refresh().resource.model_version_id for run in trainings}
