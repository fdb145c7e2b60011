"""What an attempt's processes see of the worker's environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lepton_trainer.placement import LaunchPlan
from lepton_trainer.placement.torchrun import TorchrunLauncher
from lepton_trainer.processes.environment import attempt_environment, thread_environment


def test_ranks_share_the_cores() -> None:
    cores = len(os.sched_getaffinity(0))
    assert thread_environment(1)["OMP_NUM_THREADS"] == str(cores)
    assert thread_environment(cores * 2)["OMP_NUM_THREADS"] == "1"


@pytest.mark.timeout(120)
def test_the_launcher_says_nothing_about_threads_and_an_operator_decides(tmp_path: Path) -> None:
    """With no guard socket the guards end at once; what counts is what torchrun wrote until then."""
    log = tmp_path / "launcher.log"
    environment = attempt_environment({**os.environ, "OMP_NUM_THREADS": "3", "A_SECRET": "x"}, tmp_path)
    assert environment["OMP_NUM_THREADS"] == "3"
    assert "A_SECRET" not in environment
    without = {name: value for name, value in environment.items() if not name.startswith("OMP_")}
    launched = TorchrunLauncher().start(LaunchPlan(tmp_path, 2, "none.sock", without, log))
    launched._process.wait()
    assert "OMP_NUM_THREADS" not in log.read_text()
