"""What a model is trained to do: the port. One module for each task; a recipe's `Prepared` carries a task object."""

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from lepton_trainer.training.loader import Batch


@dataclass(frozen=True)
class Evaluation:
    """`metrics` go into the run; `details` (confusion matrix, per-class figures) into evaluation.json as well."""

    task: str
    examples: int
    metrics: dict[str, float]
    # the higher, the better: accuracy, or minus the error
    score: float
    details: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        return {"task": self.task, "examples": self.examples, "metrics": self.metrics, **self.details}


class Totals(Protocol):
    """Figures of an evaluation that add up, over the batches of a rank and over ranks."""

    def add(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        """One batch; `loss` is its mean, a scalar."""

    def tensors(self) -> list[Tensor]:
        """What is summed over the ranks, in place, before `result`."""

    def result(self) -> Evaluation:
        """Metrics, score and details of all that was added."""


class Task(Protocol):
    @property
    def name(self) -> str:
        """As it stands in card.json and evaluation.json."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean over a batch, a scalar."""

    def targets(self, batch: Batch) -> Tensor:
        """What the loss compares the outputs with."""

    def totals(self, device: torch.device) -> Totals:
        """Empty totals, on the rank's device."""

    def serving_head(self, model: nn.Module) -> nn.Module:
        """What is exported: the model with its answer in the signature's terms."""
