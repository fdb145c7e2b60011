"""A rank whose model is sharded by FSDP, for `test_sharded_training.py`: one more class, and no change in the loop."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
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

from lepton_core.workspace_files import ATTEMPT_FILE_VARIABLE, Workspace
from lepton_trainer.rank import load_recipe
from lepton_trainer.training.package import write_package
from lepton_trainer.training.parallel import Parallel
from lepton_trainer.training.parallel.replicated import Replicated
from lepton_trainer.training.process_group import ProcessGroup, join
from lepton_trainer.training.trainer import Trainer

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


def main() -> None:
    workspace = Workspace(Path(os.environ[ATTEMPT_FILE_VARIABLE]).absolute().parent)
    attempt = workspace.read_attempt()
    recipe, group = load_recipe(attempt), join(1)
    parallel: Parallel = Sharded(group) if sys.argv[1] == "sharded" else Replicated(group)
    trainer = Trainer(recipe, recipe.prepare(Path(attempt.data_dir)), group, workspace, parallel)
    sharded = all(isinstance(each, DTensor) for each in trainer.model.parameters())
    evaluation = trainer.run(attempt.resume)
    group.leave()
    if group.first:
        write_package(workspace, attempt, recipe, trainer.kept_model(), trainer.data, evaluation, trainer.kept_epoch)
        (workspace.root / "found.json").write_text(json.dumps({"sharded": sharded, "metrics": evaluation.metrics}))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
