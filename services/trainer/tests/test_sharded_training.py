"""The parallelism port holds for a model of which no rank has the whole: FSDP is one more class (`sharded_rank.py`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from lepton_core.model_format.package_check import check_package
from lepton_core.workspace_files import ATTEMPT_FILE_VARIABLE, ResumePoint, Workspace

RANK = Path(__file__).with_name("sharded_rank.py")
# 81 held-out examples of 400: the second rank has none left for the last forward of an evaluation.
SETTINGS = {
    "epochs": 2,
    "batch_size": 64,
    "learning_rate": 5e-3,
    "seed": 7,
    "width": 4,
    "dropout": 0,
    "keep": "last",
    "metrics_every_steps": 1,
    "max_gradient_norm": 0.5,
}


def train(bench: Any, name: str, data: Path, kind: str, **more: Any) -> tuple[Workspace, dict[str, Any]]:
    workspace: Workspace = bench.workspace(name, data, SETTINGS, ranks=2, **more)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(RANK), kind]
    environment = {**os.environ, ATTEMPT_FILE_VARIABLE: str(workspace.attempt_file)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return workspace, json.loads((workspace.root / "found.json").read_text())


@pytest.mark.timeout(400)
def test_a_sharded_model_trains_resumes_and_is_packaged_like_a_replicated_one(
    bench: Any, few_digits: Path, points: Any
) -> None:
    replicated, expected = train(bench, "replicated", few_digits, "replicated")
    sharded, found = train(bench, "sharded", few_digits, "sharded")
    assert (found["sharded"], expected["sharded"]) == (True, False)
    assert found["metrics"] == pytest.approx(expected["metrics"], rel=1e-3)
    assert points(sharded, "loss") == pytest.approx(points(replicated, "loss"), rel=1e-3)

    # A checkpoint holds whole weights, and a later attempt goes on from it.
    first, last = sorted(sharded.checkpoints.iterdir())
    weights = load_file(last / "weights.safetensors")
    shapes = {name: tensor.shape for name, tensor in load_file(replicated.package / "weights.safetensors").items()}
    assert {name: tensor.shape for name, tensor in weights.items()} == shapes
    resume = ResumePoint(checkpoint_id="ckp_1", step=int(first.name.removeprefix("step-")), epoch=1, dir="resume")
    again = bench.root / "again" / "resume"
    again.parent.mkdir()
    again.symlink_to(first)
    resumed, found = train(bench, "again", few_digits, "sharded", resume=resume.model_dump())
    assert found["metrics"] == pytest.approx(expected["metrics"], rel=1e-3)
    packaged = load_file(resumed.package / "weights.safetensors")
    assert all(packaged[name] == pytest.approx(tensor, rel=1e-3, abs=1e-5) for name, tensor in weights.items())
    assert check_package(resumed.package) == check_package(replicated.package)
