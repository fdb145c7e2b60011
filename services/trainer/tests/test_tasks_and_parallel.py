"""The two seams of the training loop: what is learned (a task), and how ranks share the work (a parallel)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from lepton_core.workspace_files import Workspace
from lepton_trainer.recipes.vision_classifier.recipe import VisionClassifier
from lepton_trainer.recipes.vision_classifier.settings import Settings
from lepton_trainer.training.parallel.replicated import Replicated
from lepton_trainer.training.process_group import ProcessGroup
from lepton_trainer.training.tasks import Task
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
