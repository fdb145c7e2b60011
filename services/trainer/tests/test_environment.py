"""What an attempt's processes see of the worker's environment."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from lepton_trainer.placement.environment import describe_environment
from lepton_trainer.placement.local import rank_environment
from lepton_trainer.processes.environment import attempt_environment, thread_environment


def test_ranks_share_the_cores() -> None:
    cores = len(os.sched_getaffinity(0))
    assert thread_environment(1)["OMP_NUM_THREADS"] == str(cores)
    assert thread_environment(cores * 2)["OMP_NUM_THREADS"] == "1"


def test_an_operator_decides_about_threads_and_secrets_stay_outside(tmp_path: Path) -> None:
    environment = attempt_environment({**os.environ, "OMP_NUM_THREADS": "3", "A_SECRET": "x"}, tmp_path)
    assert "A_SECRET" not in environment
    assert (rank_environment(0, 2, "run") | environment)["OMP_NUM_THREADS"] == "3"


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
