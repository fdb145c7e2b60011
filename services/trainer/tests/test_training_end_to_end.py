"""Ranks in a hand-made workspace: the main job, a drain with an exact resume, divergence, bad data."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import psutil
import pytest
from PIL import Image
from safetensors.numpy import load_file
from sklearn.datasets import load_digits

from lepton_core.journal import read_records
from lepton_core.model_format.features.pipeline import Pipeline
from lepton_core.model_format.kinds import decode_instances, encode_outputs
from lepton_core.model_format.package_check import check_package
from lepton_core.workspace_files import Workspace
from lepton_fixtures.processes import wait_until
from lepton_fixtures.workspaces import read_outcome

EXACT = {"epochs": 3, "batch_size": 16, "learning_rate": 2e-3, "seed": 7, "augment": "shift", "metrics_every_steps": 3}


@pytest.mark.timeout(300)
def test_two_ranks_learn_the_digits(bench: Any, digits: Path, points: Any, controls: Any) -> None:
    settings = {"epochs": 12, "batch_size": 32, "learning_rate": 2e-3, "seed": 7}
    workspace = bench.workspace("digits", digits, settings, ranks=2)
    outcome = bench.run(workspace, 2)
    assert outcome.status == "succeeded"
    assert outcome.metrics["accuracy"] >= 0.98
    assert outcome.metrics["macro_recall"] >= 0.98

    evaluation = json.loads(workspace.evaluation.read_bytes())
    matrix = np.array(evaluation["confusion_matrix"])
    assert matrix.shape == (10, 10)
    assert matrix.trace() / matrix.sum() == pytest.approx(outcome.metrics["accuracy"])
    assert evaluation["labels"] == list("0123456789")

    card = json.loads((workspace.package / "card.json").read_bytes())
    assert card["data"]["training"] + card["data"]["held_out"] == 1797
    statistics = json.loads(workspace.statistics.read_bytes())
    assert sum(statistics["labels"].values()) == card["data"]["training"]

    losses = points(workspace, "loss")
    assert max(losses) == 12 * 45
    assert losses[max(losses)] < 0.1 < losses[min(losses)]
    checkpoints = controls(workspace, "checkpoint")
    assert [record["step"] for record in checkpoints] == [45 * epoch for epoch in range(1, 13)]
    assert controls(workspace, "progress")[-1]["step"] == 540
    kept = {path.name for path in workspace.checkpoints.iterdir()}
    assert {"step-00000495", "step-00000540"} <= kept
    assert len(kept) <= 3
    assert checkpoints[-1]["offsets"]["metrics-rank0.jsonl"] == workspace.metrics_journal(0).stat().st_size

    # What is served from the package answers as the evaluation says: the preprocessing has travelled with it.
    signature = check_package(workspace.package)
    files = sorted(digits.glob("*/*.png"))
    raw = decode_instances(signature, [path.read_bytes() for path in files])
    session = onnxruntime.InferenceSession(workspace.package / "model.onnx")
    (given,) = session.run(None, Pipeline.of(signature)(raw))
    answers = encode_outputs(signature, {"probabilities": given})
    right = np.mean([answer["label"] == path.parent.name for answer, path in zip(answers, files, strict=True)])
    assert right >= outcome.metrics["accuracy"]


@pytest.mark.timeout(300)
def test_each_epoch_is_a_line_of_the_log(bench: Any, few_digits: Path) -> None:
    workspace = bench.workspace("told", few_digits, {"epochs": 2, "seed": 7}, ranks=1)
    log, _ = bench.start(workspace, 1).communicate(timeout=250)
    told = [line for line in log.splitlines() if line.startswith("epoch ")]
    assert [line.split()[1] for line in told] == ["1/2", "2/2"]
    assert all("accuracy" in line for line in told)


@pytest.mark.timeout(300)
def test_a_drained_run_resumes_exactly(bench: Any, few_digits: Path, points: Any, controls: Any) -> None:
    """The same losses step by step, and the same weights bit by bit, as a run that was never stopped."""
    whole = bench.workspace("whole", few_digits, EXACT, ranks=2)
    assert bench.run(whole, 2).status == "succeeded"

    drained = bench.workspace("drained", few_digits, EXACT, ranks=2)
    released = drain(bench, drained, points)
    step = released["step"]
    assert 20 <= step < 3 * 20

    resume = {"dir": str(drained.root / released["dir"]), "step": step, "epoch": released["epoch"]}
    resumed = bench.workspace("resumed", few_digits, EXACT, ranks=2, resume=resume)
    outcome = bench.run(resumed, 2)
    assert outcome.status == "succeeded"

    before, after = points(drained, "loss"), points(resumed, "loss")
    assert max(before) <= step
    assert min(after) > step
    assert before | after == points(whole, "loss")
    expected = load_file(whole.package / "weights.safetensors")
    given = load_file(resumed.package / "weights.safetensors")
    statistics = {name for name in expected if "running" in name or "batches" in name}
    assert expected.keys() == given.keys()
    for name in expected.keys() - statistics:
        assert (expected[name] == given[name]).all(), name


def drain(bench: Any, workspace: Workspace, points: Any) -> dict[str, Any]:
    """SIGTERM to the ranks once a few steps of the second epoch are done; answers the record of the last checkpoint."""
    process: subprocess.Popen[str] = bench.start(workspace, 2)
    journal = workspace.control_journal(0)
    wait_until(lambda: journal.exists() and b"checkpoint" in journal.read_bytes(), 60, "the first epoch's checkpoint")
    for rank in ranks_of(workspace):
        os.kill(rank, signal.SIGTERM)
    log, _ = process.communicate(timeout=60)
    outcome = read_outcome(workspace)
    assert outcome is not None, log
    assert outcome.status == "released", log
    records = [record for record in read_records(journal)[0] if record["kind"] == "checkpoint"]
    return dict(records[-1])


def ranks_of(workspace: Workspace) -> list[int]:
    """Process ids of the ranks that work in this workspace."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
            is_rank = "lepton_trainer.rank" in command
            if is_rank and process.environ().get("LEPTON_ATTEMPT_FILE") == str(workspace.attempt_file):
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_a_run_that_diverges_fails_for_good_and_keeps_its_last_good_checkpoint(
    bench: Any, few_digits: Path, controls: Any
) -> None:
    # The decay multiplies the weights by -99 in each step.
    settings = {"epochs": 40, "batch_size": 160, "learning_rate": 10, "weight_decay": 10}
    workspace = bench.workspace("nan", few_digits, settings)
    outcome = bench.run(workspace, 1)
    assert (outcome.status, outcome.final) == ("failed", True)
    assert "not a finite number" in outcome.reason
    assert "at step" in outcome.reason
    last = controls(workspace, "checkpoint")[-1]
    weights = load_file(workspace.root / last["dir"] / "weights.safetensors")
    assert all(np.isfinite(values).all() for values in weights.values())
    assert not workspace.package.exists()


def test_data_that_cannot_be_used_fails_for_good_and_names_the_file(bench: Any, tmp_path: Path) -> None:
    digits = load_digits()
    for label in ("a", "b"):
        (tmp_path / "images" / label).mkdir(parents=True)
    for number in range(4):
        Image.fromarray(digits.images[number].astype(np.uint8)).save(
            tmp_path / "images" / "ab"[number % 2] / f"{number}.png"
        )
    (tmp_path / "images" / "b" / "broken.png").write_bytes(b"this is no image")
    workspace = bench.workspace("bad", tmp_path / "images", {"epochs": 1}, ranks=2)
    outcome = bench.run(workspace, 2)
    assert (outcome.status, outcome.final) == ("failed", True)
    assert "b/broken.png" in outcome.reason
    assert "not an image" in outcome.reason


@pytest.mark.parametrize(
    ("error", "final"), [("invalid('data', 'row 3 of clips.csv has no label')", True), ("ValueError('row 3')", False)]
)
def test_a_recipe_says_that_its_data_cannot_be_used(
    error: str, final: bool, bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "their_recipe.py").write_text(
        "from lepton_core.errors import invalid\n"
        "from lepton_trainer.recipes.settings import TrainSettings\n"
        "from lepton_trainer.training.recipe import Recipe\n"
        "class Theirs(Recipe):\n"
        "    settings_model = TrainSettings\n"
        f"    def prepare(self, data_dir): raise {error}\n"
        "    def model(self, data): raise AssertionError\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    workspace = bench.workspace("theirs", tmp_path, {})
    attempt = json.loads(workspace.attempt_file.read_bytes())
    attempt["recipe"]["entry"] = "their_recipe:Theirs"
    workspace.attempt_file.write_text(json.dumps(attempt))
    outcome = bench.run(workspace, 1)
    assert (outcome.status, outcome.final) == ("failed", final)
    assert "row 3" in outcome.reason


def test_settings_are_checked_again_by_the_rank(bench: Any, few_digits: Path) -> None:
    outcome = bench.run(bench.workspace("settings", few_digits, {"epochs": -1}), 1)
    assert (outcome.status, outcome.final) == ("failed", True)
    assert "train.epochs" in outcome.reason
    assert outcome.reason.count("at least 1") == 1


@pytest.mark.parametrize("damage", ["cut", "pickle"])
def test_a_damaged_checkpoint_is_not_loaded(damage: str, bench: Any, few_digits: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    data = b"\x80\x04}." if damage == "pickle" else b"\x10"
    (folder / "weights.safetensors").write_bytes(data)
    (folder / "state.pt").write_bytes(data)
    workspace = bench.workspace("damaged", few_digits, EXACT, resume={"dir": str(folder), "step": 3})
    outcome = bench.run(workspace, 1)
    assert outcome.status == "failed"
    assert "checkpoint" in outcome.reason
