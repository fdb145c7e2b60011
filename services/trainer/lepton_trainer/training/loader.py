"""Distributes the examples over ranks and steps: seeded, and resumable at any step."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from lepton_core.errors import invalid
from lepton_core.model_format.features.pipeline import Array, Pipeline


class Batch(NamedTuple):
    inputs: tuple[Tensor, ...]
    targets: Tensor


class Examples(Protocol):
    def __len__(self) -> int: ...

    def take(self, indices: Tensor) -> Batch:
        """The examples with these indices (int64, on the CPU), on the rank's device."""
        ...

    def to(self, device: torch.device) -> "Examples": ...


@dataclass(frozen=True)
class TensorExamples:
    """A preprocessed data set in memory: `inputs` in the order of the signature's model_inputs."""

    inputs: tuple[Tensor, ...]
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> "TensorExamples":
        return TensorExamples(tuple(tensor.to(device) for tensor in self.inputs), self.targets.to(device))

    def take(self, indices: Tensor) -> Batch:
        indices = indices.to(self.targets.device)
        return Batch(
            tuple(tensor.index_select(0, indices) for tensor in self.inputs), self.targets.index_select(0, indices)
        )


@dataclass(frozen=True)
class PipedExamples:
    """A data set that is too large to keep preprocessed: the raw arrays are in memory, and each batch is preprocessed
    when it is needed."""

    raw: Mapping[str, Array]
    targets: Tensor
    pipeline: Pipeline
    device: torch.device = torch.device("cpu")

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device) -> "PipedExamples":
        return replace(self, device=device)

    def take(self, indices: Tensor) -> Batch:
        places = indices.numpy()
        arrays = self.pipeline({name: array[places] for name, array in self.raw.items()})
        inputs = tuple(torch.from_numpy(array).to(self.device) for array in arrays.values())
        return Batch(inputs, self.targets.index_select(0, indices).to(self.device))


class Sampler:
    """Iterates over an epoch in batches of the whole job; rank r takes every world-th example of each batch, from r on.

    The order depends only on the seed, not on the number of ranks, so that a run may resume with another number.
    """

    def __init__(self, count: int, batch_size: int, seed: int, rank: int, world_size: int) -> None:
        if count < world_size:
            raise invalid("data", f"{count} training examples are too few for {world_size} ranks")
        if batch_size < world_size:
            raise invalid(
                "batch_size", "every rank needs an example in each step", batch_size, f"at least {world_size}"
            )
        self._count, self._batch_size, self._seed = count, batch_size, seed
        self._rank, self._world_size = rank, world_size
        # A last batch with fewer examples than ranks is skipped; the next epoch has another order.
        full, rest = divmod(count, batch_size)
        self.steps_per_epoch = full + (1 if rest >= world_size else 0)
        self.epoch = 0
        self.position = 0

    @property
    def seen(self) -> int:
        """Number of examples in the batches of this epoch so far, over all ranks."""
        return min(self.position * self._batch_size, self._count)

    def batches(self) -> Iterator[tuple[Tensor, float]]:
        """Yields, until the end of the epoch, this rank's indices of each batch and the weight of its mean loss.

        With the weight, the mean over ranks is the mean over examples, also if the ranks have unequal parts of a batch.
        """
        order = torch.randperm(self._count, generator=_generator(self._seed, self.epoch))
        while self.position < self.steps_per_epoch:
            batch = order[self.position * self._batch_size : (self.position + 1) * self._batch_size]
            mine = batch[self._rank :: self._world_size]
            self.position += 1
            yield mine, len(mine) * self._world_size / len(batch)

    def next_epoch(self) -> None:
        self.epoch += 1
        self.position = 0

    def state(self) -> dict[str, Any]:
        fixed = {"count": self._count, "batch_size": self._batch_size, "seed": self._seed}
        return {"epoch": self.epoch, "position": self.position, **fixed}

    def load(self, state: dict[str, Any]) -> None:
        for name in ("count", "batch_size", "seed"):
            if state[name] != self.state()[name]:
                raise invalid(name, "the checkpoint was made with another value", self.state()[name], str(state[name]))
        self.epoch, self.position = int(state["epoch"]), int(state["position"])


def share(count: int, rank: int, world_size: int, batch_size: int) -> Iterator[Tensor]:
    """Batches of indices for an evaluation: every world-th example from `rank` on.

    Every rank gets equally many batches; the last one may be empty.
    """
    step = world_size * batch_size
    for start in range(0, count, step):
        yield torch.arange(min(start + rank, count), min(start + step, count), world_size)


def _generator(seed: int, epoch: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed * 1_000_003 + epoch)
