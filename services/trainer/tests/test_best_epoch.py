"""The best epoch is registered, whichever attempt made it; or the last, if the job says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from lepton_core.workspace_files import ResumePoint, Workspace
from lepton_trainer.recipes.vision_classifier.recipe import VisionClassifier
from lepton_trainer.recipes.vision_classifier.settings import Settings
from lepton_trainer.training.evaluation import evaluate
from lepton_trainer.training.loader import Batch
from lepton_trainer.training.process_group import ProcessGroup
from lepton_trainer.training.trainer import Trainer

ALONE = ProcessGroup(rank=0, world_size=1, local_rank=0, device=torch.device("cpu"), backend="", threads=1)
STEPS_AN_EPOCH = 4


class Spoiled(VisionClassifier):
    """Learns wrong labels from the third epoch on."""

    def augment(self, batch: Batch) -> Batch:
        targets = batch.targets if self.step < 2 * STEPS_AN_EPOCH else (batch.targets + 1) % 10
        self.step += 1
        return Batch(batch.inputs, targets)

    step = 0


def trainer(data: Path, folder: Path, keep: Literal["best", "last"] = "best", step: int = 0) -> Trainer:
    recipe = Spoiled(Settings(epochs=4, batch_size=80, seed=3, learning_rate=2e-2, width=8, keep=keep))
    recipe.step = step
    return Trainer(recipe, recipe.prepare(data), ALONE, Workspace(folder))


def test_the_best_epoch_is_kept_and_its_weights_with_it(
    few_digits: Path, tmp_path: Path, points: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    found = trainer(few_digits, tmp_path)
    kept = found.run()
    accuracy = points(found.workspace, "accuracy")
    assert found.kept_epoch < 4
    assert kept.metrics["accuracy"] == max(accuracy.values()) > accuracy[4 * STEPS_AN_EPOCH]
    assert evaluate(found.recipe, found.kept_model(), found.data, ALONE).metrics == kept.metrics
    assert f"kept: epoch {found.kept_epoch} of 4" in capsys.readouterr().out


def test_the_last_epoch_is_kept_where_the_job_says_so(few_digits: Path, tmp_path: Path, points: Any) -> None:
    found = trainer(few_digits, tmp_path, "last")
    kept = found.run()
    assert found.kept_epoch == 4
    assert kept.metrics["accuracy"] == points(found.workspace, "accuracy")[4 * STEPS_AN_EPOCH]


def test_a_later_attempt_has_the_best_epoch_of_an_earlier_one(few_digits: Path, tmp_path: Path) -> None:
    first = trainer(few_digits, tmp_path / "first")
    kept = first.run()
    # The checkpoint after the third epoch, which is worse than the best: the best travels in it.
    folder = first.workspace.checkpoint(3 * STEPS_AN_EPOCH)
    assert (folder / "best.safetensors").exists()
    second = trainer(few_digits, tmp_path / "second", step=3 * STEPS_AN_EPOCH)
    link = second.workspace.root / "resume"
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(folder)
    again = second.run(ResumePoint(checkpoint_id="ckp_1", step=3 * STEPS_AN_EPOCH, epoch=3, dir="resume"))
    assert (again.metrics, second.kept_epoch) == (kept.metrics, first.kept_epoch)
    assert all(
        torch.equal(one, other)
        for one, other in zip(
            first.kept_model().state_dict().values(), second.kept_model().state_dict().values(), strict=True
        )
    )


def test_a_checkpoint_without_a_best_epoch_can_be_resumed(few_digits: Path, tmp_path: Path) -> None:
    """Those of a job that keeps the last, and of an earlier version."""
    first = trainer(few_digits, tmp_path / "first", "last")
    first.run()
    folder = first.workspace.checkpoint(3 * STEPS_AN_EPOCH)
    assert not (folder / "best.safetensors").exists()
    second = trainer(few_digits, tmp_path / "second", step=3 * STEPS_AN_EPOCH)
    (second.workspace.root / "resume").symlink_to(folder)
    second.run(ResumePoint(checkpoint_id="ckp_1", step=3 * STEPS_AN_EPOCH, epoch=3, dir="resume"))
    assert second.kept_epoch == 4
