"""What an attempt's processes see of the worker's environment."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from lepton_trainer.placement import LaunchPlan
from lepton_trainer.placement.torchrun import TorchrunLauncher
from lepton_trainer.processes.environment import attempt_environment, thread_environment
from lepton_trainer.reporting.hardware import describe_environment


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


@pytest.mark.parametrize(
    ("direct_url", "expected"),
    [
        (None, r"record:sha256:[0-9a-f]{64}"),
        ('{"archive_info": {"hashes": {"sha256": "ab12"}}}', "archive:sha256:ab12"),
        ("[broken", r"record:sha256:[0-9a-f]{64}"),
    ],
)
def test_packages_are_listed_with_versions_and_hashes(
    direct_url: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shown-1.5.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: shown\nVersion: 1.5\n")
    (folder / "RECORD").write_text("shown.py,sha256=abc,3\n")
    if direct_url:
        (folder / "direct_url.json").write_text(direct_url)
    monkeypatch.syspath_prepend(tmp_path)
    environment = describe_environment()
    assert environment["packages"]["shown"] == "1.5"
    assert re.fullmatch(expected, environment["package_hashes"]["shown"])
