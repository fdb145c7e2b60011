"""A worker and the real supervisor of an attempt: however it fails, the worker notices and nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lepton_fixtures.processes import wait_until
from lepton_trainer.assignment import Assignment, AttemptConfig, Policy
from lepton_trainer.files.private_dir import WorkerFolder
from lepton_trainer.processes.clock import boottime
from lepton_trainer.processes.process_tree import find_marked, kill_marked
from lepton_trainer.worker.supervisor_handle import SupervisorProcess

FENCE_SECONDS = 3.0
NEVER = threading.Event()


@pytest.fixture
def config(tmp_path: Path, unused_tcp_port: int) -> Iterator[AttemptConfig]:
    """An attempt whose registry is away: it waits for its files until something ends it."""
    folder = WorkerFolder(tmp_path)
    attempt_id = f"att_{uuid.uuid4().hex}"
    spec = {"name": "script", "script": {"entry": "train.py"}, "resources": {"ranks": 1}, "limits": {}}
    config = AttemptConfig(
        assignment=Assignment(
            run_id="run_1",
            attempt_id=attempt_id,
            number=1,
            project="prj_a",
            attempt_token="token",
            spec=json.dumps(spec),
            recipe="",
            recipe_version="",
            data_digest="",
            code_digest="sha256:" + "0" * 64,
            resume=None,
            lease_seconds=30.0,
        ),
        policy=Policy(
            heartbeat_seconds=0.5,
            self_fence_seconds=FENCE_SECONDS,
            cancel_grace_seconds=0.0,
            max_disk_bytes=1 << 30,
            disk_reserve_bytes=0,
            timeout_seconds=600,
            rank_log_bytes=1 << 20,
            max_package_bytes=1 << 30,
        ),
        worker_id=folder.worker_id,
        registry_address=f"127.0.0.1:{unused_tcp_port}",
        workspace=folder.new_workspace(attempt_id),
        cache=folder.cache,
        recipe_entry="",
        placement_entry="lepton_trainer.placement.local:make_placement",
        ranks=1,
        claimed_at=boottime(),
    )
    yield config
    kill_marked(folder.worker_id)


def started(config: AttemptConfig) -> tuple[SupervisorProcess, psutil.Process]:
    """A supervisor that has started its guard, and its process."""
    handle = SupervisorProcess(config)
    process = psutil.Process(handle._process.pid)
    # By its command: a child has its parent's until it runs its own program.
    wait_until(
        lambda: any("rank_guard.py" in " ".join(child.cmdline()) for child in process.children()), 30, "the guard"
    )
    return handle, process


def test_a_supervisor_that_was_killed_has_no_result_and_leaves_nothing(config: AttemptConfig) -> None:
    handle, process = started(config)
    process.kill()
    assert handle.wait(NEVER, 25) is None
    assert find_marked(config.marker) == []


def test_a_supervisor_that_dies_before_it_has_its_orders_costs_only_its_attempt(
    config: AttemptConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = subprocess.Popen

    def start_and_kill(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = start(*args, **options)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return process

    monkeypatch.setattr(subprocess, "Popen", start_and_kill)
    assert SupervisorProcess(config).wait(NEVER, 25) is None
    assert find_marked(config.marker) == []


def test_a_supervisor_that_is_stopped_is_ended(config: AttemptConfig, caplog: pytest.LogCaptureFixture) -> None:
    handle, process = started(config)
    process.send_signal(signal.SIGSTOP)
    assert handle.wait(NEVER, 25) is None
    assert "is stopped or blocked" in caplog.text
    assert find_marked(config.marker) == []


def test_a_drain_that_takes_too_long_is_cut_off(config: AttemptConfig, caplog: pytest.LogCaptureFixture) -> None:
    handle, process = started(config)
    process.send_signal(signal.SIGSTOP)
    drain = threading.Event()
    drain.set()
    assert handle.wait(drain, 0.2) is None
    assert "did not drain in time" in caplog.text
    assert find_marked(config.marker) == []
