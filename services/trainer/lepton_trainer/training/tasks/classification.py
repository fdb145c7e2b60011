"""One of several labels for each example. Outputs: logits (batch, labels); targets: INT64 (batch,)."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lepton_trainer.training.loader import Batch
from lepton_trainer.training.tasks import Evaluation


@dataclass(frozen=True)
class Classification:
    labels: tuple[str, ...]
    name: str = "classification"

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets)

    def targets(self, batch: Batch) -> Tensor:
        return batch.targets

    def totals(self, device: torch.device) -> "ClassTotals":
        return ClassTotals(self, device)

    def serving_head(self, model: nn.Module) -> nn.Module:
        return Probabilities(model)


class ClassTotals:
    """A confusion matrix (true label, predicted label) and the sum of the losses."""

    def __init__(self, task: Classification, device: torch.device) -> None:
        self._task, self._device = task, device
        self._confusion = torch.zeros(len(task.labels) ** 2, dtype=torch.int64, device=device)
        self._loss = torch.zeros(1, dtype=torch.float64, device=device)

    def add(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        self._loss += loss * len(targets)
        # On the CPU: bincount has no deterministic CUDA kernel.
        pairs = (targets * len(self._task.labels) + outputs.argmax(dim=1)).cpu()
        self._confusion += torch.bincount(pairs, minlength=len(self._confusion)).to(self._device)

    def tensors(self) -> list[Tensor]:
        return [self._confusion, self._loss]

    def result(self) -> Evaluation:
        labels = self._task.labels
        counts = self._confusion.view(len(labels), len(labels)).cpu()
        examples = int(counts.sum())
        metrics, per_class = class_metrics(counts, labels)
        metrics["holdout_loss"] = float(self._loss.item()) / examples
        details = {"labels": list(labels), "confusion_matrix": counts.tolist(), "per_class": per_class}
        return Evaluation(self._task.name, examples, metrics, metrics["accuracy"], details)


def class_metrics(counts: Tensor, labels: tuple[str, ...]) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """Metrics of a confusion matrix (true label, predicted label). Macro averages omit labels that do not occur."""
    hits = counts.diagonal().to(torch.float64)
    support, predicted = counts.sum(1), counts.sum(0)
    recall = hits / support.clamp(min=1)
    precision = hits / predicted.clamp(min=1)
    f1 = 2 * hits / (support + predicted).clamp(min=1)
    present = support > 0
    metrics = {
        "accuracy": float(hits.sum() / counts.sum()),
        "macro_recall": float(recall[present].mean()),
        "macro_f1": float(f1[present].mean()),
    }
    per_class = [
        {
            "label": label,
            "support": int(support[index]),
            "recall": float(recall[index]),
            "precision": float(precision[index]),
            "f1": float(f1[index]),
        }
        for index, label in enumerate(labels)
    ]
    return metrics, per_class


class Probabilities(nn.Module):
    """Logits → probabilities, (batch, labels)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        outputs: Tensor = self.model(*inputs)
        return outputs.softmax(dim=1)
