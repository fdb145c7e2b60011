"""The parts of the engine on their own: who sees which examples, what is counted, what a checkpoint brings back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import confusion_matrix, f1_score, mean_absolute_error, r2_score, recall_score

from lepton_core.errors import LeptonError
from lepton_core.workspace_files import Workspace
from lepton_trainer.recipes.vision_classifier.recipe import VisionClassifier
from lepton_trainer.recipes.vision_classifier.settings import Settings
from lepton_trainer.training.evaluation import evaluate
from lepton_trainer.training.loader import Batch, Sampler, TensorExamples, share
from lepton_trainer.training.process_group import ProcessGroup
from lepton_trainer.training.recipe import Prepared
from lepton_trainer.training.tasks.classification import class_metrics
from lepton_trainer.training.tasks.regression import Regression
from lepton_trainer.training.trainer import NotFinite, Trainer

ALONE = ProcessGroup(rank=0, world_size=1, local_rank=0, device=torch.device("cpu"), backend="", threads=1)


def walk(count: int, batch_size: int, world_size: int, start: int = 0) -> list[tuple[list[int], float]]:
    """One epoch as all ranks together see it: for each step, the examples of the whole job and the sum of weights."""
    samplers = [Sampler(count, batch_size, 5, rank, world_size) for rank in range(world_size)]
    for sampler in samplers:
        sampler.position = start
    steps = []
    for parts in zip(*(sampler.batches() for sampler in samplers), strict=True):
        examples = sorted(int(index) for indices, _ in parts for index in indices)
        # What averaging over the ranks makes of the weights must give each example the same share.
        shares = {round(weight / len(indices) / world_size, 12) for indices, weight in parts}
        assert len(shares) == 1
        steps.append((examples, shares.pop()))
    return steps


@pytest.mark.parametrize(("count", "batch_size"), [(100, 32), (97, 10), (64, 64), (5, 3)])
def test_ranks_divide_each_batch_and_see_everything_once(count: int, batch_size: int) -> None:
    alone = walk(count, batch_size, 1)
    assert sorted(index for examples, _ in alone for index in examples) == list(range(count))
    for world_size in (2, 3):
        together = walk(count, batch_size, world_size)
        # The walk does not depend on the number of ranks, but for a last batch that is too small to divide.
        assert together == alone[: len(together)]
        assert len(alone) - len(together) <= 1


def test_a_sampler_goes_on_where_its_state_says() -> None:
    sampler = Sampler(100, 8, 3, 0, 2)
    sampler.next_epoch()
    whole = [indices.tolist() for indices, _ in sampler.batches()]
    sampler.load({**sampler.state(), "position": 4})
    assert [indices.tolist() for indices, _ in sampler.batches()] == whole[4:]
    with pytest.raises(LeptonError, match="batch_size"):
        Sampler(100, 16, 3, 0, 2).load(sampler.state())


def test_too_few_examples_for_the_ranks_are_refused() -> None:
    with pytest.raises(LeptonError, match="too few"):
        Sampler(1, 4, 0, 0, 2)
    with pytest.raises(LeptonError, match="batch_size"):
        Sampler(10, 1, 0, 0, 2)


def test_an_evaluation_is_divided_among_the_ranks() -> None:
    parts = [torch.cat(list(share(11, rank, 3, 2))).tolist() for rank in range(3)]
    assert sorted(index for part in parts for index in part) == list(range(11))
    # All ranks get equally many batches: a sharded model needs all of them in each forward.
    assert [[len(batch) for batch in share(7, rank, 3, 2)] for rank in range(3)] == [[2, 1], [2, 0], [2, 0]]
    assert [len(batch) for batch in share(1, 2, 3, 2)] == [0]
    assert list(share(0, 0, 3, 2)) == []


def test_class_metrics_are_those_of_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    truth = load_digits().target[:500]
    guess = np.where(generator.random(500) < 0.8, truth, generator.integers(0, 10, 500))
    metrics, per_class = class_metrics(torch.tensor(confusion_matrix(truth, guess)), tuple("0123456789"))
    assert metrics["accuracy"] == pytest.approx(float((truth == guess).mean()))
    assert metrics["macro_recall"] == pytest.approx(recall_score(truth, guess, average="macro"))
    assert metrics["macro_f1"] == pytest.approx(f1_score(truth, guess, average="macro"))
    assert sum(entry["support"] for entry in per_class) == 500


def test_a_label_that_is_never_held_out_does_not_count() -> None:
    metrics, _ = class_metrics(torch.tensor([[3, 1, 0], [0, 4, 0], [0, 0, 0]]), ("a", "b", "c"))
    assert metrics["macro_recall"] == pytest.approx((0.75 + 1) / 2)


def test_regression_metrics_are_those_of_scikit_learn(few_digits: Path) -> None:
    truth, guess = np.random.default_rng(1).normal(50, 9, (2, 700))
    recipe = VisionClassifier(Settings())
    examples = TensorExamples(
        (torch.tensor((guess - 50) / 9).float()[:, None],), torch.tensor((truth - 50) / 9).float()
    )
    signature = recipe.prepare(few_digits).signature
    data = Prepared(Regression(mean=50, std=9), examples, examples, signature)
    result = evaluate(recipe, torch.nn.Flatten(0), data, ALONE)
    assert result.metrics["r2"] == pytest.approx(r2_score(truth, guess), abs=1e-4)
    assert result.metrics["mae"] == pytest.approx(mean_absolute_error(truth, guess), rel=1e-4)
    assert result.metrics["rmse"] == pytest.approx(float(np.sqrt(((truth - guess) ** 2).mean())), rel=1e-4)


def test_the_same_seed_gives_the_same_losses(few_digits: Path, tmp_path: Path, points: Any) -> None:
    def losses(name: str, seed: int) -> Any:
        recipe = VisionClassifier(Settings(epochs=1, batch_size=40, seed=seed, augment="shift", metrics_every_steps=1))
        workspace = Workspace(tmp_path / name)
        Trainer(recipe, recipe.prepare(few_digits), ALONE, workspace).run()
        return points(workspace, "loss")

    first = losses("first", 7)
    assert len(first) == 8
    assert first == losses("second", 7)
    assert first != losses("third", 8)


class Poisoned(VisionClassifier):
    """Loses its numbers in the sixth step, between two meetings of the ranks."""

    steps = 0

    def augment(self, batch: Batch) -> Batch:
        self.steps += 1
        return Batch((batch.inputs[0] * (torch.nan if self.steps == 6 else 1),), batch.targets)


def test_a_loss_that_is_no_number_is_told_by_its_step(few_digits: Path, tmp_path: Path, controls: Any) -> None:
    recipe = Poisoned(Settings(epochs=2, batch_size=80, checkpoint_every_steps=3))
    workspace = Workspace(tmp_path)
    with pytest.raises(NotFinite, match=r"loss is not a finite number \(nan\) at step 6, in epoch 2"):
        Trainer(recipe, recipe.prepare(few_digits), ALONE, workspace).run()
    assert [record["step"] for record in controls(workspace, "checkpoint")] == [3, 4]
    assert {path.name for path in workspace.checkpoints.iterdir()} == {"step-00000003", "step-00000004"}


def test_the_best_checkpoint_is_kept_beside_the_last_two(few_digits: Path, tmp_path: Path, controls: Any) -> None:
    recipe = VisionClassifier(Settings(epochs=6, batch_size=80, width=4))
    workspace = Workspace(tmp_path)
    trainer = Trainer(recipe, recipe.prepare(few_digits), ALONE, workspace)
    trainer.run()
    records = controls(workspace, "checkpoint")
    best = max(records, key=lambda record: record["metrics"]["accuracy"])
    assert best == max(records, key=lambda record: record["score"]), "the registry is to keep the same one"
    expected = {record["dir"] for record in (*records[-2:], best)}
    assert {f"checkpoints/{path.name}" for path in workspace.checkpoints.iterdir()} == expected
