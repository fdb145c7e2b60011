"""The whole model on every rank: DistributedDataParallel, or the plain model if there is only one rank."""

import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lepton_trainer.training.process_group import ProcessGroup


class Replicated:
    """Each rank has all weights; gradients are averaged over the ranks."""

    def __init__(self, group: ProcessGroup) -> None:
        self._group = group

    def wrap(self, model: nn.Module) -> nn.Module:
        """Every rank starts from rank 0's weights."""
        if self._group.world_size == 1:
            return model
        devices = [self._group.device] if self._group.device.type == "cuda" else None
        # Buffers (running statistics) are instead averaged when they are needed (`synchronize_buffers`): a broadcast in
        # every forward pass would cost a tenth of a small model's step. Torch 2.13 renamed the option.
        renamed = "forward_sync_buffers" in inspect.signature(DistributedDataParallel).parameters
        unsynced: dict[str, Any] = {"forward_sync_buffers" if renamed else "broadcast_buffers": False}
        return DistributedDataParallel(model, devices, gradient_as_bucket_view=True, **unsynced)

    def backward(self, loss: Tensor) -> None:
        with self._group.exchange(in_backward=True):
            loss.backward()  # type: ignore[no-untyped-call]  # of torch

    def clip(self, model: nn.Module, max_norm: float) -> Tensor:
        # The gradients are already averaged, so the norm is equal on all ranks.
        return nn.utils.clip_grad_norm_(model.parameters(), max_norm)

    def all_reduce(self, tensor: Tensor) -> Tensor:
        return self._group.sum(tensor)

    def synchronize_buffers(self, model: nn.Module) -> None:
        """Sets each buffer to its mean over the ranks."""
        buffers = [buffer for buffer in model.buffers() if buffer.is_floating_point()]
        if self._group.world_size == 1 or not buffers:
            return
        flat = torch.cat([buffer.detach().reshape(-1) for buffer in buffers])
        self._group.sum(flat).div_(self._group.world_size)
        for buffer, mean in zip(buffers, torch.split(flat, [buffer.numel() for buffer in buffers]), strict=True):
            buffer.copy_(mean.view_as(buffer))

    def weight_sum(self, model: nn.Module) -> Tensor:
        weights = [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]
        return torch.stack([tensor.abs().sum() for tensor in weights]).sum()

    def model_state(self, model: nn.Module) -> dict[str, Tensor]:
        return dict(model.state_dict())

    def optimizer_state(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:  # noqa: ARG002 - a sharded model needs it
        return dict(optimizer.state_dict())

    def load(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        model_state: dict[str, Tensor],
        optimizer_state: dict[str, Any],
    ) -> None:
        model.load_state_dict(model_state)
        optimizer.load_state_dict(optimizer_state)
