"""The interface of a task, which defines what a model is trained for. A recipe's `Prepared` has a task object."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lepton_trainer.training.loader import Batch


@dataclass(frozen=True)
class Evaluation:
    """`metrics` are stored in the run and evaluation.json; `details` (confusion matrix, metrics for each class) only in
    evaluation.json."""

    task: str
    examples: int
    metrics: dict[str, float]
    # higher is better: accuracy, or the negative error
    score: float
    details: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        return {"task": self.task, "examples": self.examples, "metrics": self.metrics, **self.details}


class Totals(Protocol):
    """Sums of an evaluation, which are added over the batches of a rank and over the ranks."""

    def add(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """Adds a batch; `loss` is its mean, a scalar."""

    def tensors(self) -> list[Tensor]:
        """The tensors that are summed over the ranks, in place, before `result`."""

    def result(self) -> Evaluation:
        """Metrics, score and details of all added batches."""


class Task(Protocol):
    @property
    def name(self) -> str:
        """The task's name in card.json and evaluation.json."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over a batch, a scalar."""

    def targets(self, batch: Batch) -> Tensor:
        """The values with which the loss compares the outputs."""

    def totals(self, device: torch.device) -> Totals:
        """New, empty totals on the rank's device."""

    def serving_head(self, model: nn.Module) -> nn.Module:
        """The module to export: the model with the outputs of the signature."""
