"""The power goes: the runner and every part are killed at once, in the middle of a training. `up` again finishes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from lepton_core.api import AttemptState, RunState
from lepton_fixtures.attempt_trees import gone, tree_of
from lepton_fixtures.jobs import (
    QUICK,
    Curve,
    assert_resumed,
    assert_succeeded,
    curve,
    images_job,
    push_images,
    submit_script,
    wait_checkpoint,
)
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import wait_until

pytestmark = pytest.mark.timeout(400)
TREE_DEATH_SECONDS = 10


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_after_the_whole_platform_was_killed_the_next_up_finishes_everything(
    start_platform: Callable[..., RunningPlatform],
    undisturbed: Curve,
    database: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    url = request.getfixturevalue("postgres_url") if database == "postgres" else ""
    running = start_platform(QUICK | {"LEPTON_LOCAL_DATABASE_URL": url})
    client = running.client()
    push_images(client, tmp_path / "images")
    run = client.jobs.submit(images_job(), progress=False)
    waiting = [submit_script(client, tmp_path / "code", f"print({number})") for number in range(2)]
    wait_checkpoint(client, run)
    tree = tree_of(run.refresh().resource.current_attempt_id)
    parts = [psutil.Process(part["pid"]) for part in running.status()["parts"]]
    running.kill_runner()
    for part in parts:
        part.kill()
    wait_until(lambda: gone(tree), TREE_DEATH_SECONDS, "the ranks to leave by themselves")

    running.start()
    attempts = assert_succeeded(running, run)
    assert [attempt.state for attempt in attempts] == [AttemptState.LOST, AttemptState.SUCCEEDED]
    assert_resumed(client, run, attempts)
    assert curve(run) == undisturbed
    assert run.resource.retries_spent == 0
    for each in waiting:
        assert len(assert_succeeded(running, each)) == 1
    assert not client.runs.list(state=RunState.RUNNING)
