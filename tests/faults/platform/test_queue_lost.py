"""The queue forgets everything, dies, or hangs: it only carries hints, and no accepted job depends on it.

The worker of this platform asks by itself only every five minutes: within a test, hints alone bring it to work.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

import psutil
import pytest
from redis import Redis

from lepton import Run
from lepton_core.api import RunState
from lepton_fixtures.databases import postgres_database
from lepton_fixtures.jobs import QUICK, START_SECONDS, assert_succeeded, submit_script
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import stays, wait_until

pytestmark = pytest.mark.timeout(300)
WAITING = 4


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def hinted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    settings = QUICK | {"LEPTON_TRAINER_POLL_SECONDS": "300"}
    with ExitStack() as stack:
        if request.param == "postgres":
            folder = cast("Path", request.getfixturevalue("postgres_folder"))
            settings["LEPTON_LOCAL_DATABASE_URL"] = stack.enter_context(postgres_database(folder))
        running = RunningPlatform(tmp_path_factory.mktemp(f"hinted-{request.param}") / "home", settings)
        stack.callback(running.stop)
        yield running


@contextmanager
def stopped(running: RunningPlatform, part: str) -> Iterator[None]:
    """The part stands still; nobody restarts it, as its process is there."""
    process = psutil.Process(running.part(part)["pid"])
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        if process.is_running():
            process.send_signal(signal.SIGCONT)


def submit_many(running: RunningPlatform, folder: Path) -> list[Run]:
    runs = [submit_script(running.client(), folder, f"print({number})") for number in range(WAITING)]
    assert {run.refresh().state for run in runs} == {RunState.QUEUED}
    return runs


def assert_all_run_once(running: RunningPlatform, runs: list[Run]) -> None:
    for run in runs:
        assert len(assert_succeeded(running, run)) == 1


def test_after_flushall_every_queued_run_runs(hinted: RunningPlatform, tmp_path: Path) -> None:
    with stopped(hinted, "trainer"):
        runs = submit_many(hinted, tmp_path / "code")
        with Redis.from_url(hinted.queue_url("operator")) as redis:
            assert redis.flushall()
    assert_all_run_once(hinted, runs)


def test_after_the_queue_server_was_killed_every_queued_run_runs(hinted: RunningPlatform, tmp_path: Path) -> None:
    with stopped(hinted, "trainer"):
        runs = submit_many(hinted, tmp_path / "code")
        hinted.wait_back("queue", hinted.kill("queue"))
    assert_all_run_once(hinted, runs)
    after = submit_script(hinted.client(), tmp_path / "after", "print('after')")
    assert_all_run_once(hinted, [after])


def test_while_the_queue_hangs_jobs_are_accepted_and_they_run_when_it_answers(
    hinted: RunningPlatform, tmp_path: Path
) -> None:
    wait_until(lambda: not hinted.client().runs.list(state=RunState.RUNNING), START_SECONDS, "an idle worker")
    with stopped(hinted, "queue"):
        runs = submit_many(hinted, tmp_path / "code")
        stays(lambda: hinted.client().whoami().project, 3, "the gateway answers")
    assert_all_run_once(hinted, runs)
