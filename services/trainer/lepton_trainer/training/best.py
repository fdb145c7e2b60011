"""The best epoch so far, by the task's score: what is registered when the job keeps the best.

Its weights travel in every checkpoint, so that a later attempt has them however early the best epoch was.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from lepton_trainer.training.tasks import Evaluation

BEST_FILE = "best.safetensors"


@dataclass(frozen=True)
class Best:
    """`weights`: the state of the model, on the processor. `epoch` counts from 1."""

    epoch: int
    step: int
    evaluation: Evaluation
    weights: Mapping[str, Tensor]

    def is_behind(self, evaluation: Evaluation) -> bool:
        """Whether that one is better: by its score, and of equal ones by its loss. Few held-out examples tie often."""
        if evaluation.score != self.evaluation.score:
            return evaluation.score > self.evaluation.score
        worst = math.inf
        return evaluation.metrics.get("holdout_loss", worst) < self.evaluation.metrics.get("holdout_loss", worst)

    def save(self, folder: Path, step: int) -> dict[str, Any]:
        """Its part of a checkpoint's state. The weights are written unless they are the checkpoint's own."""
        if self.step != step:
            save_file(dict(self.weights), folder / BEST_FILE)
        return {"epoch": self.epoch, "step": self.step, "evaluation": asdict(self.evaluation)}


def load_best(state: Mapping[str, Any], folder: Path, own_weights: Mapping[str, Tensor]) -> Best | None:
    """From a checkpoint's state and files; None for one that has none."""
    found = state.get("best")
    if found is None:
        return None
    weights = load_file(folder / BEST_FILE) if found["step"] != state["step"] else own_weights
    return Best(found["epoch"], found["step"], Evaluation(**found["evaluation"]), weights)


def copied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the processor, apart from the model's own tensors, which go on changing."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in weights.items()}
