"""The best epoch so far by the task's score, which is registered if the job keeps the best one.

Its weights are in every checkpoint, so that later attempts have them.
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
    """`weights`: the model's state, on the CPU. `epoch` counts from 1."""

    epoch: int
    step: int
    evaluation: Evaluation
    weights: Mapping[str, Tensor]

    def is_behind(self, evaluation: Evaluation) -> bool:
        """Whether that evaluation is better by its score, or for equal scores, which are frequent with few held-out
        examples, by its loss."""
        if evaluation.score != self.evaluation.score:
            return evaluation.score > self.evaluation.score
        worst = math.inf
        return evaluation.metrics.get("holdout_loss", worst) < self.evaluation.metrics.get("holdout_loss", worst)

    def save(self, folder: Path, step: int) -> dict[str, Any]:
        """The best epoch's part of a checkpoint's state. Writes the weights unless they are those of the checkpoint."""
        if self.step != step:
            save_file(dict(self.weights), folder / BEST_FILE)
        return {"epoch": self.epoch, "step": self.step, "evaluation": asdict(self.evaluation)}


def load_best(state: Mapping[str, Any], folder: Path, own_weights: Mapping[str, Tensor]) -> Best | None:
    """Reads it from a checkpoint's state and files; None if the checkpoint has none."""
    found = state.get("best")
    if found is None:
        return None
    weights = load_file(folder / BEST_FILE) if found["step"] != state["step"] else own_weights
    return Best(found["epoch"], found["step"], Evaluation(**found["evaluation"]), weights)


def copied(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A copy on the CPU, since training changes the model's own tensors."""
    return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in weights.items()}
