"""A disk that is full, or that a job would fill: the run says so, and the platform goes on with the next one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lepton_core.api import RunState
from lepton_fixtures.jobs import QUICK, assert_succeeded, submit_script, wait_ended
from lepton_fixtures.platform import RunningPlatform

pytestmark = pytest.mark.timeout(240)
GIB = 1 << 30

# `train.py BYTES`: takes that much disk, a tenth of a GiB at a time, and waits for its end.
GREEDY = """
import os, sys, time
with open("big", "wb") as file:
    for start in range(0, int(sys.argv[1]), 100 << 20):
        os.posix_fallocate(file.fileno(), start, 100 << 20)
time.sleep(600)
"""


def pids(running: RunningPlatform) -> dict[str, int]:
    return {part["name"]: part["pid"] for part in running.status()["parts"]}


def assert_up_and_at_work(running: RunningPlatform, before: dict[str, int], folder: Path) -> None:
    """No part went down, and the next job runs."""
    assert pids(running) == before
    assert_succeeded(running, submit_script(running.client(), folder, "print('ran')"))


def test_a_job_that_eats_the_reserve_is_ended(start_platform: Callable[..., RunningPlatform], tmp_path: Path) -> None:
    reserve = shutil.disk_usage(tmp_path).free - 2 * GIB
    running = start_platform(QUICK | {"LEPTON_TRAINER_DISK_RESERVE_BYTES": str(reserve)})
    before = pids(running)
    run = submit_script(running.client(), tmp_path / "code", GREEDY, 5 * GIB, retries=0)
    assert wait_ended(running, run).state is RunState.FAILED
    assert run.reason.startswith("disk full:"), run.reason
    assert "reserve" in run.reason
    assert run.cause is not None
    assert (run.cause.code, run.cause.parameters["reserve_bytes"]) == ("disk_full", reserve)
    assert_up_and_at_work(running, before, tmp_path / "after")


def test_a_job_that_exceeds_its_own_budget_is_ended_and_not_tried_again(
    rough_sqlite: RunningPlatform, tmp_path: Path
) -> None:
    before = pids(rough_sqlite)
    limits = {"max_disk_bytes": 50_000_000}
    run = submit_script(rough_sqlite.client(), tmp_path / "code", GREEDY, 100 << 20, limits=limits)
    assert wait_ended(rough_sqlite, run).state is RunState.FAILED
    assert "limits.max_disk_bytes" in run.reason
    assert len(run.attempts()) == 1
    assert_up_and_at_work(rough_sqlite, before, tmp_path / "after")


def test_a_program_that_meets_a_full_disk_says_so(rough_sqlite: RunningPlatform, tmp_path: Path) -> None:
    before = pids(rough_sqlite)
    program = "with open('/dev/full', 'w') as full: full.write('x')"
    run = submit_script(rough_sqlite.client(), tmp_path / "code", program, retries=0)
    assert wait_ended(rough_sqlite, run).state is RunState.FAILED
    assert "No space left on device" in run.log_tail[-1]
    assert_up_and_at_work(rough_sqlite, before, tmp_path / "after")
