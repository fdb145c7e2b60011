"""Saves and restores the whole training state: weights, optimizer, position in the data, random generators.

Weights are safetensors; the rest is loaded with weights_only=True. A folder is written under a temporary name, synced,
then renamed, so a folder with the final name is complete.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.workspace_files import Workspace, sync_folder
from lepton_trainer.training.best import Best, load_best
from lepton_trainer.training.loader import Sampler
from lepton_trainer.training.parallel import Parallel
from lepton_trainer.training.process_group import ProcessGroup
from lepton_trainer.training.tracker import Tracker

KEPT = 2
STATE_FORMAT = 1
WEIGHTS_FILE = "weights.safetensors"
STATE_FILE = "state.pt"


class Restored(NamedTuple):
    """`losses` are not yet in a metric point. `best` is None if the checkpoint has none."""

    step: int
    losses: list[float]
    best: Best | None


class Checkpoints:
    """Keeps the last two checkpoints and the best one of this attempt; the worker uploads them from here."""

    def __init__(
        self,
        workspace: Workspace,
        group: ProcessGroup,
        parallel: Parallel,
        tracker: Tracker,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        sampler: Sampler,
    ) -> None:
        self._workspace, self._group, self._parallel, self._tracker = workspace, group, parallel, tracker
        self._model, self._optimizer, self._sampler = model, optimizer, sampler
        self._saved: list[Path] = []
        self._best_score: float | None = None
        # None also if the best checkpoint is from an earlier attempt
        self._best: Path | None = None

    def save(
        self,
        step: int,
        losses: list[float],
        metrics: Mapping[str, float],
        score: float | None = None,
        best: Best | None = None,
    ) -> None:
        """All ranks must call it together. `losses` are not yet in a metric point; `score` (higher is better) is set if
        the checkpoint was evaluated. `best` is the epoch that would be registered if the training ended now.
        """
        self._parallel.synchronize_buffers(self._model)
        # A collective call of all ranks, since each may have only a shard.
        weights = self._parallel.model_state(self._model)
        optimizer = self._parallel.optimizer_state(self._model, self._optimizer)
        generators = self._group.gather(_generator_state(self._group.device))
        if not self._group.first:
            return
        folder = self._workspace.checkpoint(step)
        if score is not None and (self._best_score is None or score > self._best_score):
            self._best_score, self._best = score, folder
        state = {
            "format": STATE_FORMAT,
            "step": step,
            "optimizer": optimizer,
            "sampler": self._sampler.state(),
            "losses": losses,
            "generators": generators,
            "best_score": self._best_score,
        }
        _write(folder, weights, state, best)
        self._retain(folder)
        relative = folder.relative_to(self._workspace.root).as_posix()
        self._tracker.checkpoint(step, self._sampler.epoch, relative, metrics, score)

    def restore(self, folder: Path) -> Restored:
        """Loads a checkpoint into model, optimizer, sampler and generators."""
        try:
            weights = load_file(folder / WEIGHTS_FILE)
            state = torch.load(folder / STATE_FILE, weights_only=True, map_location="cpu")
            self._parallel.load(self._model, self._optimizer, weights, state["optimizer"])
            best = load_best(state, folder, weights)
        except Exception as error:  # damaged files raise many kinds of errors, of torch, pickle and safetensors
            raise LeptonError(ErrorCode.CORRUPT, f"the checkpoint in {folder.name} cannot be read: {error}") from error
        self._sampler.load(state["sampler"])
        self._best_score = state["best_score"]
        generators: list[Tensor] = state["generators"]
        if self._group.rank < len(generators):
            _load_generator_state(generators[self._group.rank], self._group.device)
        return Restored(int(state["step"]), list(state["losses"]), best)

    def _retain(self, folder: Path) -> None:
        self._saved.append(folder)
        kept = {*self._saved[-KEPT:], self._best}
        for old in [saved for saved in self._saved if saved not in kept]:
            shutil.rmtree(old)
            self._saved.remove(old)


def _write(folder: Path, weights: Mapping[str, Tensor], state: Mapping[str, Any], best: Best | None) -> None:
    temporary = folder.with_name(f".{folder.name}.writing")
    if temporary.exists():
        shutil.rmtree(temporary)
    temporary.mkdir(parents=True)
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, temporary / WEIGHTS_FILE)
    described = best.save(temporary, state["step"]) if best else None
    torch.save({**state, "best": described}, temporary / STATE_FILE)
    for path in temporary.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(temporary)
    if folder.exists():
        shutil.rmtree(folder)
    temporary.rename(folder)
    sync_folder(folder.parent)


def _generator_state(device: torch.device) -> Tensor:
    """The state of torch's default generators, as one row of bytes."""
    processor = torch.get_rng_state()
    return torch.cat([processor, torch.cuda.get_rng_state(device)]) if device.type == "cuda" else processor


def _load_generator_state(state: Tensor, device: torch.device) -> None:
    size = len(torch.get_rng_state())
    torch.set_rng_state(state[:size])
    if device.type == "cuda" and len(state) > size:
        torch.cuda.set_rng_state(state[size:], device)
