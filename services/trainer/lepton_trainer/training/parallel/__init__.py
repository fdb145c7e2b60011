"""How one model is trained by several ranks: the port between the loop and the process group."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Parallel(Protocol):
    """One object for one model and its optimizer. All ranks call each method together, in the same order, and they
    call forward equally often, in training and in evaluation: a sharded model gathers its weights there.
    """

    def wrap(self, model: nn.Module) -> nn.Module:
        """What training calls forward on. `model` itself stays the one that is evaluated, and it may be sharded in
        place: the optimizer is made of its parameters after this call.
        """

    def clip(self, model: nn.Module, max_norm: float) -> Tensor:
        """Scales the gradients of the whole model to at most `max_norm`; the norm before, a scalar."""

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """The sum over the ranks, in place."""

    def synchronize_buffers(self, model: nn.Module) -> None:
        """Makes the floating-point buffers (running statistics) of all ranks the same."""

    def weight_sum(self, model: nn.Module) -> Tensor:
        """The sum of the absolute values of all floating-point weights and buffers, a scalar; the same on all ranks
        where their buffers are. It is not finite where one of them is not.
        """

    def model_state(self, model: nn.Module) -> dict[str, Tensor]:
        """The whole state of the model, each tensor unsharded, for a checkpoint or the package; rank 0's counts."""

    def optimizer_state(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """The whole state of the optimizer, for a checkpoint; rank 0's counts."""

    def load(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        model_state: dict[str, Tensor],
        optimizer_state: dict[str, Any],
    ) -> None:
        """Takes what `model_state` and `optimizer_state` of the same class gave on rank 0."""
