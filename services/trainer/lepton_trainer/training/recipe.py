"""What a recipe must say so that the engine can train it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from lepton_core.model_format.signature import Signature
from lepton_trainer.recipes.settings import TrainSettings
from lepton_trainer.training.loader import Batch, Examples
from lepton_trainer.training.tasks import Task

Settings = TypeVar("Settings", bound=TrainSettings)


@dataclass(frozen=True)
class Prepared:
    """The data, read, checked, split and preprocessed; the same on every rank."""

    task: Task
    train: Examples
    holdout: Examples
    signature: Signature
    # statistics.json: what the training data looked like, for comparison with what is served later
    statistics: dict[str, Any] = field(default_factory=dict)
    # "data" of card.json: where it came from, how much of it, how it was split
    description: dict[str, Any] = field(default_factory=dict)
    # "limits" of card.json: what a user of the model has to know, in sentences
    limits: tuple[str, ...] = ()
    # what the run's log says about the data, in sentences: how much there is, what was left out
    notes: tuple[str, ...] = ()

    def to(self, device: torch.device) -> "Prepared":
        return replace(self, train=self.train.to(device), holdout=self.holdout.to(device))


class Recipe(ABC, Generic[Settings]):
    """Made on every rank, from checked settings. Loss and serving head are the task's by default."""

    settings_model: ClassVar[type[TrainSettings]]

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abstractmethod
    def prepare(self, data_dir: Path) -> Prepared:
        """Raises INVALID, naming file and row, for data it cannot use. Must give the same on every rank."""

    @abstractmethod
    def model(self, data: Prepared) -> nn.Module:
        """A fresh model: model_inputs of the signature → logits (batch, labels), or scaled values (batch,)."""

    def augment(self, batch: Batch) -> Batch:
        """Varies a training batch, using torch's default generator (its state is in the checkpoints)."""
        return batch

    def loss(self, outputs: Tensor, targets: Tensor, task: Task) -> Tensor:
        """The mean over the batch, a scalar: the task's own loss, unless a recipe has another."""
        return task.loss(outputs, targets)

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        # Norms and biases are not decayed: it would only shrink what they exist to set.
        decayed = [parameter for parameter in model.parameters() if parameter.ndim > 1]
        others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": self.settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.settings.learning_rate, fused=True)

    def serving(self, model: nn.Module, data: Prepared) -> nn.Module:
        """What is exported: the model with its answer in the signature's terms."""
        return data.task.serving_head(model)
