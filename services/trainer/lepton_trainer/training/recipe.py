"""What a recipe must say so that the engine can train it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from lepton_core.model_format.signature import Signature
from lepton_trainer.recipes.settings import TrainSettings
from lepton_trainer.training.loader import Batch, Examples

Settings = TypeVar("Settings", bound=TrainSettings)
Task = Literal["classification", "regression"]


@dataclass(frozen=True)
class Prepared:
    """The data, read, checked, split and preprocessed; the same on every rank."""

    task: Task
    train: Examples
    holdout: Examples
    signature: Signature
    # of a regression: the targets of `train` and `holdout` are (value - mean) / std
    target_mean: float = 0.0
    target_std: float = 1.0
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
    """Made on every rank, from checked settings. The defaults suit classification and regression."""

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
        """Mean over the batch."""
        if task == "classification":
            return functional.cross_entropy(outputs, targets)
        return functional.mse_loss(outputs, targets)

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
        return (
            Probabilities(model)
            if data.task == "classification"
            else Rescaled(model, data.target_mean, data.target_std)
        )


class Probabilities(nn.Module):
    """Logits → probabilities, (batch, labels)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        outputs: Tensor = self.model(*inputs)
        return outputs.softmax(dim=1)


class Rescaled(nn.Module):
    """Scaled values → the target's own unit, (batch, 1)."""

    def __init__(self, model: nn.Module, mean: float, std: float) -> None:
        super().__init__()
        self.model = model
        self.mean, self.std = mean, std

    def forward(self, *inputs: Tensor) -> Tensor:
        outputs: Tensor = self.model(*inputs)
        return (outputs * self.std + self.mean).unsqueeze(1)
