"""Which examples are held out for evaluation, when the data brings no split of its own. Seeded, so repeatable."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lepton_core.errors import invalid

Indices = NDArray[np.int64]

# What folders and files are called that bring a split of their own.
TRAIN_NAMES = frozenset({"train", "training"})
HOLDOUT_NAMES = frozenset({"test", "testing", "val", "valid", "validation", "dev", "eval", "evaluation", "holdout"})


def random_split(count: int, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Indices of (training, held-out) examples, each in rising order; both have at least one."""
    if count < 2:
        raise invalid("data", "too few examples to hold some out", count, "at least 2")
    order = np.random.default_rng(seed).permutation(count)
    held = min(count - 1, max(1, round(count * fraction)))
    return np.sort(order[held:]), np.sort(order[:held])


def stratified_split(classes: NDArray[Any], fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Holds out the same share of each class, at least one of a class with two or more; a single one is trained on."""
    generator = np.random.default_rng(seed)
    held: list[Indices] = []
    for label in np.unique(classes):
        members = generator.permutation(np.flatnonzero(classes == label))
        if len(members) > 1:
            held.append(members[: min(len(members) - 1, max(1, round(len(members) * fraction)))])
    if not held:
        raise invalid("data", "no class has two examples, so none can be held out", allowed="at least 2 of a class")
    holdout = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(classes)), holdout), holdout
