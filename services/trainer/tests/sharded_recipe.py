"""A recipe whose model is sharded by FSDP, for `test_sharded_training.py`: one more class, which the recipe names."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from lepton_trainer.recipes.vision_classifier.recipe import VisionClassifier
from lepton_trainer.training.parallel import Parallel
from lepton_trainer.training.parallel.replicated import Replicated
from lepton_trainer.training.process_group import ProcessGroup

WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


class Sharded(Replicated):
    """Each rank holds a part of every weight. Buffers are whole, and averaged as those of a replicated model."""

    def __init__(self, group: ProcessGroup) -> None:
        super().__init__(group)
        self._mesh = init_device_mesh(group.device.type, (group.world_size,))

    def wrap(self, model: nn.Module) -> nn.Module:
        for parameter in model.parameters():
            # FSDP splits only what lies in memory in order.
            parameter.data = parameter.data.contiguous()
        fully_shard(model, mesh=self._mesh)
        return model

    def weight_sum(self, model: nn.Module) -> Tensor:
        assert isinstance(model, FSDPModule)
        model.reshard()  # after a forward the weights are still gathered
        mine = [part.to_local() for part in model.parameters() if isinstance(part, DTensor)]
        total = self.all_reduce(torch.stack([part.detach().abs().sum() for part in mine]).sum())
        return total + sum(buffer.abs().sum() for buffer in model.buffers() if buffer.is_floating_point())

    def model_state(self, model: nn.Module) -> dict[str, Tensor]:
        return get_model_state_dict(model, options=WHOLE)

    def optimizer_state(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
        return dict(get_optimizer_state_dict(model, optimizer, options=WHOLE))

    def load(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        model_state: dict[str, Tensor],
        optimizer_state: dict[str, Any],
    ) -> None:
        set_model_state_dict(model, model_state, options=WHOLE)
        set_optimizer_state_dict(model, optimizer, optimizer_state, options=WHOLE)


class ShardedClassifier(VisionClassifier):
    def parallel(self, group: ProcessGroup) -> Parallel:
        return Sharded(group)
