"""A package that passed its trial is loaded without one after a restart, and tried again when anything is in doubt."""

import json
import os
from pathlib import Path
from typing import Any

import psutil
import pytest

from lepton_inference.passed_trials import PassedTrials
from lepton_inference.warm_up import Plan
from services.inference.tests.packages import multiplier

LIMITS: dict[str, Any] = {"seconds": 60.0, "memory_bytes": 2**31}
FILES = {"model.onnx": "sha256:" + "a" * 64, "signature.json": "sha256:" + "b" * 64}
PLAN = Plan(threads=1, inline_bytes=512)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "passed-trials.json"
    PassedTrials(found, LIMITS).add(FILES, PLAN)
    return found


def test_an_entry_is_taken_out_by_a_load_and_put_back_when_it_succeeds(path: Path) -> None:
    passed = PassedTrials(path, LIMITS)
    assert passed.take(FILES) == PLAN
    # A load that ended this process here has left nothing.
    assert PassedTrials(path, LIMITS).take(FILES) is None
    passed.add(FILES, PLAN)
    assert PassedTrials(path, LIMITS).take(FILES) == PLAN


def test_other_files_limits_and_packages_are_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PassedTrials(path, LIMITS).take({**FILES, "model.onnx": "sha256:" + "c" * 64}) is None
    assert PassedTrials(path, {**LIMITS, "seconds": 30.0}).take(FILES) is None
    with monkeypatch.context() as other:
        other.setattr("lepton_inference.passed_trials._environment", lambda: {"packages": "upgraded"})
        assert PassedTrials(path, LIMITS).take(FILES) is None
    assert PassedTrials(path, LIMITS).take(FILES) == PLAN


def test_a_file_that_is_damaged_changed_or_another_users_counts_as_none(path: Path, tmp_path: Path) -> None:
    written = path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    for spoiled in (
        written[:-3],
        "[]",
        written.replace("512", "4096"),
        written.replace('"threads": 1', '"threads": -1'),
    ):
        path.write_text(spoiled)
        assert PassedTrials(path, LIMITS).take(FILES) is None
    path.write_text(json.dumps(dict.fromkeys(json.loads(written), "passed")))
    assert PassedTrials(path, LIMITS).take(FILES) is None
    path.write_text(written)
    path.chmod(0o666)
    assert PassedTrials(path, LIMITS).take(FILES) is None
    link = tmp_path / "link.json"
    link.symlink_to(path)
    path.chmod(0o600)
    assert PassedTrials(link, LIMITS).take(FILES) is None
    if os.getuid() == 0:
        os.chown(path, 65534, 65534)
        assert PassedTrials(path, LIMITS).take(FILES) is None
        os.chown(path, 0, 0)
    assert PassedTrials(path, LIMITS).take(FILES) == PLAN


async def test_a_restart_starts_no_child_for_a_package_that_passed(start_fleet: Any) -> None:
    def children() -> list[str]:
        found = [" ".join(child.cmdline()) for child in psutil.Process().children()]
        return [command for command in found if "trial_child" in command]

    first = await start_fleet()
    revision = await first.deploy(multiplier())
    await first.replica.repository.close()
    await first.replica._trials.close()
    assert children() == []

    second = await start_fleet()
    second.target(revision, revision)
    await second.replica.repository.settled()
    assert second.replica.repository.find("prj_a", "double")
    assert children() == []
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1.0, 2.0, 3.0, 4.0]}
    answer = await second.http.post("/v2/models/double/infer", json={"inputs": [tensor]})
    assert answer.json()["outputs"][0]["data"] == [2.0, 4.0, 6.0, 8.0]
