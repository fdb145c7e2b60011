"""The two seams of the training loop: what is learned (a task), and how ranks share the work (a parallel)."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lepton_core.workspace_files import AttemptFile, RecipeRef, Workspace
from lepton_trainer.recipes.vision_classifier.recipe import VisionClassifier
from lepton_trainer.recipes.vision_classifier.settings import Settings
from lepton_trainer.training.loader import Batch
from lepton_trainer.training.package import write_package
from lepton_trainer.training.parallel.replicated import Replicated
from lepton_trainer.training.process_group import ProcessGroup
from lepton_trainer.training.recipe import Prepared
from lepton_trainer.training.tasks import Evaluation, Task
from lepton_trainer.training.tasks.classification import Classification
from lepton_trainer.training.tasks.regression import Regression
from lepton_trainer.training.trainer import Trainer

CPU = torch.device("cpu")
ALONE = ProcessGroup(rank=0, world_size=1, local_rank=0, device=CPU, backend="", threads=1)


@pytest.mark.parametrize(
    "task", [Classification(("a", "b", "c")), Regression(mean=4, std=2)], ids=lambda task: task.name
)
def test_totals_of_two_ranks_add_up_to_those_of_one(task: Task) -> None:
    generator = torch.Generator().manual_seed(3)
    is_class = isinstance(task, Classification)
    outputs = torch.randn((10, 3) if is_class else (10,), generator=generator)
    targets = torch.randint(0, 3, (10,), generator=generator) if is_class else torch.randn(10, generator=generator)

    def totals(part: slice) -> Any:
        found = task.totals(CPU)
        found.add(outputs[part], targets[part], task.loss(outputs[part], targets[part]))
        return found

    first, second, whole = totals(slice(0, 4)), totals(slice(4, 10)), totals(slice(0, 10))
    for mine, theirs in zip(first.tensors(), second.tensors(), strict=True):
        mine.add_(theirs)
    assert first.result().metrics == pytest.approx(whole.result().metrics, rel=1e-5)
    assert first.result().score == pytest.approx(whole.result().score, rel=1e-5)
    assert first.result().examples == 10


def test_serving_heads_answer_in_the_signatures_terms() -> None:
    probabilities = Classification(("a", "b")).serving_head(torch.nn.Identity())(torch.tensor([[0.0, 0.0]]))
    assert probabilities.tolist() == [[0.5, 0.5]]
    assert Regression(mean=4, std=2).serving_head(torch.nn.Identity())(torch.tensor([1.5])).tolist() == [[7.0]]


def test_a_replicated_model_is_clipped_and_gives_its_state_back() -> None:
    parallel, model = Replicated(ALONE), torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    parallel.wrap(model)(torch.ones(1, 2)).sum().backward()
    assert float(parallel.clip(model, 0.5)) == pytest.approx(3**0.5)
    assert float(torch.cat([each.grad.flatten() for each in model.parameters()]).norm()) == pytest.approx(0.5, rel=1e-4)
    optimizer.step()
    state = {name: tensor.clone() for name, tensor in parallel.model_state(model).items()}
    optimizer_state = parallel.optimizer_state(model, optimizer)
    other = torch.nn.Linear(2, 1)
    parallel.load(other, torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9), state, optimizer_state)
    assert all((state[name] == tensor).all() for name, tensor in other.state_dict().items())


def test_the_loop_clips_gradients_where_the_job_says_so(few_digits: Path, tmp_path: Path) -> None:
    recipe = VisionClassifier(Settings(epochs=1, batch_size=80, width=4, max_gradient_norm=1e-3))
    trainer = Trainer(recipe, recipe.prepare(few_digits), ALONE, Workspace(tmp_path))
    trainer.run()
    # Those of the last step.
    gradients = [parameter.grad.flatten() for parameter in trainer.model.parameters() if parameter.grad is not None]
    assert float(torch.cat(gradients).norm()) == pytest.approx(1e-3, rel=1e-2)


def test_weights_that_left_the_numbers_are_not_kept() -> None:
    model = torch.nn.BatchNorm1d(2)
    assert float(Replicated(ALONE).weight_sum(model)) == 4  # weights and running variances of one
    with torch.no_grad():
        model.weight[0] = float("nan")
    assert math.isnan(float(Replicated(ALONE).weight_sum(model)))


def above(outputs: Tensor) -> Tensor:
    """Probability to be above each label but the last, (batch, labels - 1), falling."""
    return functional.logsigmoid(outputs[:, :-1]).cumsum(1).exp()


@dataclass(frozen=True)
class Ordinal:
    """Labels in an order. Outputs: logits (batch, labels), of which the last is not used; the others give, for each
    label, the probability to be above it if above the one before (continuation ratios)."""

    labels: tuple[str, ...]
    name: str = "ordinal"

    def targets(self, batch: Batch) -> Tensor:
        return batch.targets

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        wanted = (targets[:, None] > torch.arange(len(self.labels) - 1)).float()
        return functional.binary_cross_entropy(above(outputs), wanted)

    def totals(self, device: torch.device) -> RankTotals:
        return RankTotals(self)

    def serving_head(self, model: torch.nn.Module) -> torch.nn.Module:
        return RankProbabilities(model)


class RankTotals:
    """Count, distance of the predicted from the true rank, loss."""

    def __init__(self, task: Ordinal) -> None:
        self._task = task
        self._sums = torch.zeros(3, dtype=torch.float64)

    def add(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        distance = ((above(outputs) > 0.5).sum(1) - targets).abs().sum()
        self._sums += torch.stack([torch.tensor(float(len(targets))), distance, loss * len(targets)]).double()

    def tensors(self) -> list[Tensor]:
        return [self._sums]

    def result(self) -> Evaluation:
        count, distance, loss = self._sums.tolist()
        metrics = {"rank_error": distance / count, "holdout_loss": loss / count}
        return Evaluation(self._task.name, int(count), metrics, -distance / count)


class RankProbabilities(torch.nn.Module):
    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        falling = above(self.model(*inputs))
        return functional.pad(falling, (1, 0), value=1.0) - functional.pad(falling, (0, 1))


class OrderedDigits(VisionClassifier):
    def prepare(self, data_dir: Path) -> Prepared:
        data = super().prepare(data_dir)
        return replace(data, task=Ordinal(data.signature.labels))


def test_another_task_trains_is_scored_and_is_packaged(few_digits: Path, tmp_path: Path) -> None:
    recipe, workspace = OrderedDigits(Settings(epochs=2, batch_size=40, width=4, seed=7)), Workspace(tmp_path)
    data = recipe.prepare(few_digits)
    trainer = Trainer(recipe, data, ALONE, workspace)
    evaluation = trainer.run()
    assert evaluation.metrics["rank_error"] == -evaluation.score
    attempt = AttemptFile(run_id="run_1", attempt_id="att_1", recipe=RecipeRef(name="r", version="1", entry="m:C"))
    write_package(workspace, attempt, recipe, trainer.kept_model(), data, evaluation, trainer.kept_epoch)
    assert json.loads((workspace.package / "card.json").read_text())["task"] == "ordinal"
    served = recipe.serving(trainer.kept_model(), data)(*data.holdout.take(torch.arange(5)).inputs)
    assert served.sum(1).tolist() == pytest.approx([1.0] * 5)
    assert float(served.detach().min()) >= 0
