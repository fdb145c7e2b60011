"""The training loop, top to bottom."""

import math
import random
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lepton_core.causes import EndCause
from lepton_core.errors import Cause, ErrorCode, LeptonError
from lepton_core.workspace_files import ResumePoint, Workspace
from lepton_trainer.recipes.settings import TrainSettings
from lepton_trainer.training.best import Best, copied
from lepton_trainer.training.checkpoint import Checkpoints
from lepton_trainer.training.drain import Drain
from lepton_trainer.training.evaluation import evaluate
from lepton_trainer.training.loader import Batch, Sampler
from lepton_trainer.training.process_group import ProcessGroup
from lepton_trainer.training.recipe import Prepared, Recipe
from lepton_trainer.training.tasks import Evaluation
from lepton_trainer.training.tracker import Tracker

WARMUP_SHARE = 0.1
# The longest time between two exchanges of the ranks, and so until they detect a request to stop.
SYNC_SECONDS = 1.0


class Released(Exception):
    """The ranks stopped after a step and a checkpoint, on request."""


class NotFinite(LeptonError):
    """A value became NaN or infinite; the same settings would do it again."""

    def __init__(self, what: str, value: float | str, step: int, epoch: int) -> None:
        # JSON has no NaN and no infinity.
        parameters = {"what": what, "value": str(value), "step": step, "epoch": epoch}
        super().__init__(
            ErrorCode.FAILED_PRECONDITION,
            f"the {what} is not a finite number ({value}) at step {step}, in epoch {epoch}; "
            "try a lower learning_rate, or check the data for extreme values",
            cause=Cause(EndCause.NOT_FINITE, parameters),
        )


class Trainer:
    """Trains a recipe on prepared data. Every rank has a Trainer, and all make the same decisions."""

    def __init__(self, recipe: Recipe[Any], data: Prepared, group: ProcessGroup, workspace: Workspace) -> None:
        self.recipe, self.data, self.group, self.workspace = recipe, data, group, workspace
        self.parallel = recipe.parallel(group)
        self.settings: TrainSettings = recipe.settings
        _seed(self.settings.seed)
        self.model = recipe.model(data).to(group.device)
        # From here on, each rank has its own random numbers.
        _seed(self.settings.seed * 1_000 + 1 + group.rank)
        self.replica = self.parallel.wrap(self.model)
        self.optimizer = recipe.optimizer(self.model)
        self.sampler = Sampler(
            len(data.train), self.settings.batch_size, self.settings.seed, group.rank, group.world_size
        )
        self.tracker = Tracker(workspace, group.rank)
        self.checkpoints = Checkpoints(
            workspace, group, self.parallel, self.tracker, self.model, self.optimizer, self.sampler
        )
        self.drain = Drain()
        self.step: int = 0
        self.steps: int = self.settings.epochs * self.sampler.steps_per_epoch
        self.evaluation: Evaluation | None = None
        # The best epoch so far, which is registered if the job keeps the best.
        self.best: Best | None = None
        # The epoch and the unsharded model state to register, set at the end of the training (the state on rank 0).
        self.kept_epoch = 0
        self._kept_weights: Mapping[str, Tensor] = {}
        # Exchanged by the ranks in one collective call: the losses since the last one, the seconds of these steps, and
        # whether this rank must stop.
        self._exchange = torch.zeros(self.settings.metrics_every_steps + 2, device=group.device)
        self._exchanged_step = 0
        self._exchanged_time = 0.0
        self._steps_to_exchange = 1
        # Losses, as means over the ranks, that are not yet in a metric point.
        self._losses: list[float] = []
        self._samples_per_second = 0.0

    def run(self, resume: ResumePoint | None = None) -> Evaluation:
        """Raises Released after a drain, NotFinite if the training diverges."""
        if resume:
            self.step, self._losses, best = self.checkpoints.restore(self.workspace.folder(resume.dir))
            self.best = best if self.settings.keep == "best" else None
            self._exchanged_step = self.step
        with self.drain:
            while self.sampler.epoch < self.settings.epochs:
                self._train_epoch()
                self._close_epoch()
        self.tracker.close()
        return self._keep()

    def kept_model(self) -> nn.Module:
        """The model to register, after `run` has returned: a new, unsharded model on the CPU. Only for rank 0; it makes
        no collective call.
        """
        model = self.recipe.model(self.data)
        model.load_state_dict(dict(self._kept_weights))
        return model

    def _keep(self) -> Evaluation:
        """Chooses the epoch to register; returns its evaluation."""
        epochs = self.settings.epochs
        if self.best is None:
            self.kept_epoch = epochs
            self._kept_weights = copied(self.parallel.model_state(self.model))
            return self.evaluation or evaluate(self.recipe, self.model, self.data, self.group)
        self.kept_epoch, self._kept_weights = self.best.epoch, self.best.weights
        if self.group.first:
            metrics = "  ".join(f"{name} {value:.4g}" for name, value in self.best.evaluation.metrics.items())
            sys.stdout.write(f"kept: epoch {self.best.epoch} of {epochs}, the best by its score  {metrics}\n")
            sys.stdout.flush()
        return self.best.evaluation

    def _train_epoch(self) -> None:
        self.replica.train()
        started = self._exchanged_time = time.perf_counter()
        seen_before = self.sampler.seen
        for indices, weight in self.sampler.batches():
            batch = self.recipe.augment(self.data.train.take(indices))
            self._train_step(batch, weight)
            if (
                self.step - self._exchanged_step >= self._steps_to_exchange
                or self.step % self.settings.metrics_every_steps == 0
            ):
                self._sync()
            if self._checkpoint_is_due():
                self._sync()
                self._checkpoint({})
        self._sync()
        self._samples_per_second = (self.sampler.seen - seen_before) / (time.perf_counter() - started)

    def _train_step(self, batch: Batch, weight: float) -> None:
        self._set_learning_rate()
        loss = self.recipe.loss(self.replica(*batch.inputs), self.data.task.targets(batch), self.data.task)
        if weight != 1.0:
            loss = loss * weight
        self.optimizer.zero_grad()
        self.parallel.backward(loss)
        if self.settings.max_gradient_norm is not None:
            self.parallel.clip(self.model, self.settings.max_gradient_norm)
        self.optimizer.step()
        # Kept as a tensor: reading its value would make the CPU wait for the device in every step.
        self._exchange[self.step - self._exchanged_step] = loss.detach()
        self.step += 1

    def _sync(self) -> None:
        """Exchanges losses between the ranks, and whether to stop."""
        count = self.step - self._exchanged_step
        if count == 0:
            return
        self._exchange[-2] = time.perf_counter() - self._exchanged_time
        self._exchange[-1] = float(self.drain.requested)
        *losses, seconds, stop = (self.parallel.all_reduce(self._exchange) / self.group.world_size).tolist()
        for index, loss in enumerate(losses[:count], 1):
            if not math.isfinite(loss):
                raise NotFinite("loss", loss, self._exchanged_step + index, self.sampler.epoch + 1)
        self._losses += losses[:count]
        # Slow steps need more frequent exchanges, or a drain would take long. All ranks compute the same number.
        self._steps_to_exchange = max(1, min(self.settings.metrics_every_steps, int(SYNC_SECONDS * count / seconds)))
        self._exchange.zero_()
        self._exchanged_step, self._exchanged_time = self.step, time.perf_counter()
        self._report()
        if stop > 0 and self.step < self.steps:
            self._checkpoint({})
            raise Released(f"released at step {self.step} of {self.steps}, with a checkpoint")

    def _report(self) -> None:
        """Writes a metric point every `metrics_every_steps` and at the end of an epoch, independent of the speed."""
        at_end = self.step % self.sampler.steps_per_epoch == 0
        if at_end or self.step % self.settings.metrics_every_steps == 0:
            self.tracker.metrics(self.step, {"loss": sum(self._losses) / len(self._losses)})
            self._losses.clear()
        self.tracker.progress(self.sampler.epoch + 1, self.settings.epochs, self.step, self.steps)

    def _close_epoch(self) -> None:
        self.parallel.synchronize_buffers(self.model)
        self.evaluation = evaluate(self.recipe, self.model, self.data, self.group)
        for name, value in self.evaluation.metrics.items():
            if not math.isfinite(value):
                raise NotFinite(name, value, self.step, self.sampler.epoch + 1)
        more = {"learning_rate": self._learning_rate(), "samples_per_second": self._samples_per_second}
        self.tracker.metrics(self.step, {**self.evaluation.metrics, **more, "epoch": float(self.sampler.epoch + 1)})
        if self.group.rank == 0:
            metrics = "  ".join(f"{name} {value:.4g}" for name, value in self.evaluation.metrics.items())
            sys.stdout.write(f"epoch {self.sampler.epoch + 1}/{self.settings.epochs}  step {self.step}  {metrics}\n")
            sys.stdout.flush()
        self._keep_best(self.evaluation)
        self.sampler.next_epoch()
        self._checkpoint(self.evaluation.metrics, self.evaluation.score)

    def _keep_best(self, evaluation: Evaluation) -> None:
        """All ranks decide the same, since they have the same evaluation."""
        if self.settings.keep == "best" and (self.best is None or self.best.is_behind(evaluation)):
            weights = copied(self.parallel.model_state(self.model))
            self.best = Best(self.sampler.epoch + 1, self.step, evaluation, weights)

    def _checkpoint(self, metrics: dict[str, float], score: float | None = None) -> None:
        # The loss may be finite although gradients were not, so the weights are checked before they are kept.
        total = float(self.parallel.weight_sum(self.model))
        if not math.isfinite(total):
            raise NotFinite("sum of the weights", total, self.step, self.sampler.epoch + 1)
        self.checkpoints.save(self.step, self._losses, metrics, score, self.best)

    def _checkpoint_is_due(self) -> bool:
        every = self.settings.checkpoint_every_steps
        at_end = self.step % self.sampler.steps_per_epoch == 0
        return every > 0 and self.step % every == 0 and not at_end

    def _learning_rate(self) -> float:
        """Rises linearly over the first tenth of the steps, then falls along a cosine. Depends only on the step."""
        highest = float(self.settings.learning_rate)
        warmup = max(1, math.ceil(self.steps * WARMUP_SHARE))
        if self.step < warmup:
            return highest * (self.step + 1) / warmup
        done = (self.step - warmup) / max(1, self.steps - warmup)
        return highest * (1 + math.cos(math.pi * done)) / 2

    def _set_learning_rate(self) -> None:
        rate = self._learning_rate()
        for group in self.optimizer.param_groups:
            group["lr"] = rate


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - recipes may use libraries with numpy's global generator
    torch.manual_seed(seed)
