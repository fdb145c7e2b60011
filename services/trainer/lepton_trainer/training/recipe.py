"""The interface of a recipe for the training engine."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from lepton_core.model_format.signature import Signature
from lepton_trainer.recipes.settings import TrainSettings
from lepton_trainer.training.loader import Batch, Examples
from lepton_trainer.training.parallel import Parallel
from lepton_trainer.training.parallel.replicated import Replicated
from lepton_trainer.training.process_group import ProcessGroup
from lepton_trainer.training.tasks import Task

Settings = TypeVar("Settings", bound=TrainSettings)


@dataclass(frozen=True)
class Prepared:
    """The data after reading, checks, split and preprocessing; equal on every rank."""

    task: Task
    train: Examples
    holdout: Examples
    signature: Signature
    # statistics.json: statistics of the training data, for a later comparison with served data
    statistics: dict[str, Any] = field(default_factory=dict)
    # "data" of card.json: source, size and split of the data
    description: dict[str, Any] = field(default_factory=dict)
    # "limits" of card.json: sentences that a user of the model must know
    limits: tuple[str, ...] = ()
    # sentences about the data for the run's log: its size, and what was left out
    notes: tuple[str, ...] = ()

    def to(self, device: torch.device) -> "Prepared":
        return replace(self, train=self.train.to(device), holdout=self.holdout.to(device))


class Recipe(ABC, Generic[Settings]):
    """Made on every rank, from checked settings. By default, loss and serving head are those of the task."""

    settings_model: ClassVar[type[TrainSettings]]

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abstractmethod
    def prepare(self, data_dir: Path) -> Prepared:
        """Raises INVALID, with file and row, for data that it cannot use. The result must be equal on every rank."""

    @abstractmethod
    def model(self, data: Prepared) -> nn.Module:
        """A new model: model_inputs of the signature → logits (batch, labels), or scaled values (batch,)."""

    def augment(self, batch: Batch) -> Batch:
        """Augments a training batch, with torch's default generator, whose state is in the checkpoints."""
        return batch

    def loss(self, outputs: Tensor, targets: Tensor, task: Task) -> Tensor:
        """The mean over the batch, a scalar; by default the task's loss."""
        return task.loss(outputs, targets)

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        # No weight decay for norms and biases, which set the scale and offset of activations.
        decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": self.settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.settings.learning_rate, fused=True)

    def parallel(self, group: ProcessGroup) -> Parallel:
        """How the ranks share the model; by default, every rank has the whole model."""
        return Replicated(group)

    def serving(self, model: nn.Module, data: Prepared) -> nn.Module:
        """The module to export: the model with the outputs of the signature."""
        return data.task.serving_head(model)
