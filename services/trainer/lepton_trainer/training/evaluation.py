"""Evaluates a model on the held-out examples. The ranks share the work and add up their totals."""

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
    """Returns the same result on every rank. The model's buffers must be equal on all ranks.

    All ranks call forward equally often, also without examples: a sharded model gathers its weights in forward.
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
