"""A number for each example. Outputs and targets: FP32 (batch,), scaled as (value - mean) / std."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lepton_trainer.training.loader import Batch
from lepton_trainer.training.tasks import Evaluation


@dataclass(frozen=True)
class Regression:
    """`mean` and `std` of the training targets, in the target's unit."""

    mean: float = 0.0
    std: float = 1.0
    name: str = "regression"

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.mse_loss(outputs, targets)

    def targets(self, batch: Batch) -> Tensor:
        return batch.targets

    def totals(self, device: torch.device) -> "ErrorTotals":
        return ErrorTotals(self, device)

    def serving_head(self, model: nn.Module) -> nn.Module:
        return Rescaled(model, self.mean, self.std)


class ErrorTotals:
    def __init__(self, task: Regression, device: torch.device) -> None:
        self._task, self._device = task, device
        # count, squared error, absolute error, sum and sum of squares of the targets, loss: all in scaled units
        self._sums = torch.zeros(6, dtype=torch.float64, device=device)

    def add(self, outputs: Tensor, targets: Tensor, loss: Tensor) -> None:
        error, wanted = (outputs - targets).double(), targets.double()
        count = torch.tensor(float(len(targets)), dtype=torch.float64, device=self._device)
        total_loss = loss.double() * len(targets)
        parts = (count, (error**2).sum(), error.abs().sum(), wanted.sum(), (wanted**2).sum(), total_loss)
        self._sums += torch.stack(parts)

    def tensors(self) -> list[Tensor]:
        return [self._sums]

    def result(self) -> Evaluation:
        count, squared, absolute, total, total_squared, loss = self._sums.tolist()
        variation = total_squared - total**2 / count
        rmse = (squared / count) ** 0.5 * self._task.std
        metrics = {
            "rmse": rmse,
            "mae": absolute / count * self._task.std,
            # R² is not defined if all targets are equal.
            "r2": 1 - squared / variation if variation > 1e-12 * count else 0.0,
            "holdout_loss": loss / count,
        }
        return Evaluation(self._task.name, int(count), metrics, -rmse)


class Rescaled(nn.Module):
    """Scaled values → values in the target's unit, (batch, 1)."""

    def __init__(self, model: nn.Module, mean: float, std: float) -> None:
        super().__init__()
        self.model = model
        self.mean, self.std = mean, std

    def forward(self, *inputs: Tensor) -> Tensor:
        outputs: Tensor = self.model(*inputs)
        return (outputs * self.std + self.mean).unsqueeze(1)
