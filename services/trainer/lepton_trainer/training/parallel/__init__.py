"""The interface between the training loop and the process group: how several ranks train one model."""

from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Parallel(Protocol):
    """For one model and its optimizer. All ranks must call each method together, in the same order, and call forward
    equally often, in training and in evaluation: a sharded model gathers its weights in forward.
    """

    def wrap(self, model: nn.Module) -> nn.Module:
        """Returns the module on which training calls forward. `model` itself is still used for evaluation, and may be
        sharded in place, so the optimizer is made of its parameters after this call.
        """

    def backward(self, loss: Tensor) -> None:
        """Computes the gradients of the whole model, averaged over the ranks. Raises PeerLost if a rank has gone."""

    def clip(self, model: nn.Module, max_norm: float) -> Tensor:
        """Scales the gradients of the whole model to at most `max_norm`; returns the norm before, a scalar."""

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """Sums a tensor over the ranks, in place. Raises PeerLost if a rank has gone, as every exchange does."""

    def synchronize_buffers(self, model: nn.Module) -> None:
        """Makes the floating-point buffers (running statistics) equal on all ranks."""

    def weight_sum(self, model: nn.Module) -> Tensor:
        """The sum of the absolute values of all floating-point weights and buffers, a scalar; equal on all ranks if
        their buffers are. It is not finite if one of them is not.
        """

    def model_state(self, model: nn.Module) -> dict[str, Tensor]:
        """The model's state with unsharded tensors, for a checkpoint or the package; rank 0's result is used."""

    def optimizer_state(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        """The optimizer's unsharded state, for a checkpoint; rank 0's result is used."""

    def load(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        model_state: dict[str, Tensor],
        optimizer_state: dict[str, Any],
    ) -> None:
        """Loads the results of `model_state` and `optimizer_state` of the same class from rank 0."""
