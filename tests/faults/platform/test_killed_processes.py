"""kill -9 in the middle of a training: the run finishes, and its curve is the one of a run that nobody disturbed."""

from __future__ import annotations

import pytest

from lepton import Client, Run
from lepton_core.api import AttemptState
from lepton_fixtures.attempt_trees import gone, processes_marked, tree_of
from lepton_fixtures.jobs import Curve, assert_resumed, assert_succeeded, curve, images_job, wait_checkpoint
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import wait_until

pytestmark = pytest.mark.timeout(400)
TREE_DEATH_SECONDS = 10


def begin(client: Client) -> tuple[Run, str]:
    """A run that trains and has a checkpoint, and its attempt."""
    run = client.jobs.submit(images_job() | {"register": {"model": "images"}}, progress=False)
    wait_checkpoint(client, run)
    return run, run.refresh().resource.current_attempt_id


def assert_whole(running: RunningPlatform, run: Run, undisturbed: Curve) -> list[AttemptState]:
    """How its attempts ended."""
    attempts = assert_succeeded(running, run)
    client = running.client()
    assert len(attempts) == 2
    assert_resumed(client, run, attempts)
    assert curve(run) == undisturbed
    versions = [version for version in client.models.versions("images") if version.run_id == run.id]
    assert [version.id for version in versions] == [run.resource.model_version_id]
    return [attempt.state for attempt in attempts]


def test_a_killed_rank(rough_sqlite: RunningPlatform, undisturbed: Curve) -> None:
    run, attempt = begin(rough_sqlite.client())
    tree = tree_of(attempt)
    processes_marked(attempt_id=attempt)["program"][1].kill()
    wait_until(lambda: gone(tree), 30, "the other processes to leave")
    assert assert_whole(rough_sqlite, run, undisturbed)[0] is AttemptState.FAILED
    assert run.resource.retries_spent == 1


def test_a_killed_supervisor(rough: RunningPlatform, undisturbed: Curve) -> None:
    run, attempt = begin(rough.client())
    tree = tree_of(attempt)
    processes_marked(attempt_id=attempt)["supervisor"][0].kill()
    wait_until(lambda: gone(tree), TREE_DEATH_SECONDS, "its tree to be gone")
    assert assert_whole(rough, run, undisturbed)[0] is AttemptState.LOST
    assert run.resource.retries_spent == 0


def test_a_killed_worker(rough: RunningPlatform, undisturbed: Curve) -> None:
    run, attempt = begin(rough.client())
    tree = tree_of(attempt)
    before = rough.kill("trainer")
    wait_until(lambda: gone(tree), TREE_DEATH_SECONDS, "its tree to be gone")
    rough.wait_back("trainer", before)
    assert assert_whole(rough, run, undisturbed)[0] is AttemptState.LOST
    assert run.resource.retries_spent == 0


def test_worker_and_supervisor_killed_at_once(rough_sqlite: RunningPlatform, undisturbed: Curve) -> None:
    """The ranks are left under init: only their guards and the marker in their environment know of them."""
    run, attempt = begin(rough_sqlite.client())
    tree = tree_of(attempt)
    before = rough_sqlite.kill("trainer")
    for process in processes_marked(attempt_id=attempt).get("supervisor", []):
        process.kill()
    rough_sqlite.wait_back("trainer", before)
    assert gone(tree), "the new worker was ready beside processes of the old one"
    assert assert_whole(rough_sqlite, run, undisturbed)[0] is AttemptState.LOST
