"""How good a model is on the examples it was not trained on. The ranks divide the work and add up totals."""

from typing import Any

import torch
from torch import nn

from lepton_trainer.training.loader import share
from lepton_trainer.training.process_group import ProcessGroup
from lepton_trainer.training.recipe import Prepared, Recipe
from lepton_trainer.training.tasks import Evaluation

EVALUATION_BATCH = 512


@torch.no_grad()
def evaluate(recipe: Recipe[Any], model: nn.Module, data: Prepared, group: ProcessGroup) -> Evaluation:
    """Every rank gets the same answer. The model's buffers must be the same on all ranks.

    All ranks call forward equally often, also one that has no example left: a sharded model gathers its weights there.
    """
    was_training = model.training
    model.eval()
    totals = data.task.totals(group.device)
    for indices in share(len(data.holdout), group.rank, group.world_size, EVALUATION_BATCH):
        batch = data.holdout.take(indices if len(indices) else torch.zeros(1, dtype=torch.int64))
        outputs, targets = model(*batch.inputs), data.task.targets(batch)
        if len(indices):
            totals.add(outputs, targets, recipe.loss(outputs, targets, data.task))
    for tensor in totals.tensors():
        group.sum(tensor)
    model.train(was_training)
    return totals.result()
