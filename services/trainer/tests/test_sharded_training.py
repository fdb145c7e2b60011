"""The parallelism port holds for a model of which no rank has the whole: FSDP is one more class (sharded_recipe.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from lepton_core.model_format.package_check import check_package
from lepton_core.workspace_files import Outcome, ResumePoint, Workspace

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


def train(bench: Any, name: str, data: Path, **more: Any) -> tuple[Workspace, Outcome]:
    workspace: Workspace = bench.workspace(name, data, SETTINGS, ranks=2, **more)
    return workspace, bench.run(workspace, 2)


@pytest.fixture
def sharded_entry(monkeypatch: pytest.MonkeyPatch) -> str:
    """The recipe's class, where the ranks can import it."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    return "sharded_recipe:ShardedClassifier"


@pytest.mark.timeout(400)
def test_a_sharded_model_trains_resumes_and_is_packaged_like_a_replicated_one(
    bench: Any, few_digits: Path, points: Any, sharded_entry: str
) -> None:
    replicated, expected = train(bench, "replicated", few_digits)
    sharded, found = train(bench, "sharded", few_digits, entry=sharded_entry)
    assert found.metrics == pytest.approx(expected.metrics, rel=1e-3)
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
    resumed, found = train(bench, "again", few_digits, entry=sharded_entry, resume=resume.model_dump())
    assert found.metrics == pytest.approx(expected.metrics, rel=1e-3)
    packaged = load_file(resumed.package / "weights.safetensors")
    assert all(packaged[name] == pytest.approx(tensor, rel=1e-3, abs=1e-5) for name, tensor in weights.items())
    assert check_package(resumed.package) == check_package(replicated.package)
