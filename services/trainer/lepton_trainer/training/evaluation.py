"""How good a model is on the examples it was not trained on. The ranks divide the work and add up counts."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from lepton_trainer.training.loader import share
from lepton_trainer.training.process_group import Mesh
from lepton_trainer.training.recipe import Prepared, Recipe

EVALUATION_BATCH = 512


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


@torch.no_grad()
def evaluate(recipe: Recipe[Any], model: nn.Module, data: Prepared, mesh: Mesh) -> Evaluation:
    """Every rank gets the same answer. The model's buffers must be the same on all ranks."""
    was_training = model.training
    model.eval()
    if data.task == "classification":
        evaluation = _classification(recipe, model, data, mesh)
    else:
        evaluation = _regression(recipe, model, data, mesh)
    model.train(was_training)
    return evaluation


def _classification(recipe: Recipe[Any], model: nn.Module, data: Prepared, mesh: Mesh) -> Evaluation:
    labels = data.signature.labels
    confusion = torch.zeros(len(labels) ** 2, dtype=torch.int64, device=mesh.device)
    loss = torch.zeros(1, dtype=torch.float64, device=mesh.device)
    for indices in share(len(data.holdout), mesh.rank, mesh.world_size, EVALUATION_BATCH):
        inputs, targets = data.holdout.take(indices)
        outputs = model(*inputs)
        loss += recipe.loss(outputs, targets, data.task) * len(targets)
        # On the processor: bincount has no deterministic CUDA kernel.
        pairs = (targets * len(labels) + outputs.argmax(dim=1)).cpu()
        confusion += torch.bincount(pairs, minlength=len(confusion)).to(mesh.device)
    counts = mesh.sum(confusion).view(len(labels), len(labels)).cpu()
    total_loss = float(mesh.sum(loss).item())
    examples = int(counts.sum())
    metrics, per_class = class_metrics(counts, labels)
    metrics["holdout_loss"] = total_loss / examples
    details = {"labels": list(labels), "confusion_matrix": counts.tolist(), "per_class": per_class}
    return Evaluation(data.task, examples, metrics, metrics["accuracy"], details)


def class_metrics(counts: Tensor, labels: tuple[str, ...]) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """From a confusion matrix (true label, predicted label). Macro means leave out labels that never occur."""
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


def _regression(recipe: Recipe[Any], model: nn.Module, data: Prepared, mesh: Mesh) -> Evaluation:
    # count, squared error, absolute error, sum and sum of squares of the targets, loss: all in scaled units
    sums = torch.zeros(6, dtype=torch.float64, device=mesh.device)
    for indices in share(len(data.holdout), mesh.rank, mesh.world_size, EVALUATION_BATCH):
        inputs, targets = data.holdout.take(indices)
        outputs = model(*inputs)
        loss = recipe.loss(outputs, targets, data.task).double() * len(targets)
        error, wanted = (outputs - targets).double(), targets.double()
        count = torch.tensor(float(len(targets)), dtype=torch.float64, device=mesh.device)
        parts = (count, (error**2).sum(), error.abs().sum(), wanted.sum(), (wanted**2).sum(), loss)
        sums += torch.stack(parts)
    count, squared, absolute, total, total_squared, loss_sum = mesh.sum(sums).tolist()
    variation = total_squared - total**2 / count
    rmse = (squared / count) ** 0.5 * data.target_std
    metrics = {
        "rmse": rmse,
        "mae": absolute / count * data.target_std,
        # Targets that are all the same leave nothing to explain.
        "r2": 1 - squared / variation if variation > 1e-12 * count else 0.0,
        "holdout_loss": loss_sum / count,
    }
    return Evaluation(data.task, int(count), metrics, -rmse)
