"""The registry dies and comes back while a job trains: the training does not notice."""

from __future__ import annotations

import pytest

from lepton_fixtures.attempt_trees import processes_marked
from lepton_fixtures.jobs import Curve, assert_succeeded, curve, images_job, wait_checkpoint
from lepton_fixtures.platform import RunningPlatform

pytestmark = pytest.mark.timeout(400)


def test_a_killed_registry_costs_neither_the_attempt_nor_a_point(rough: RunningPlatform, undisturbed: Curve) -> None:
    client = rough.client()
    run = client.jobs.submit(images_job(), progress=False)
    wait_checkpoint(client, run)
    attempt = run.refresh().resource.current_attempt_id
    programs = processes_marked(attempt_id=attempt)["program"]
    rough.wait_back("registry", rough.kill("registry"))
    assert processes_marked(attempt_id=attempt)["program"] == programs, "the same processes train on"
    attempts = assert_succeeded(rough, run)
    assert [each.id for each in attempts] == [attempt]
    assert curve(run) == undisturbed
