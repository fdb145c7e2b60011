"""Holds out a seeded, repeatable part of the examples for evaluation, if the data has no split of its own."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lepton_core.errors import invalid

Indices = NDArray[np.int64]


def random_split(count: int, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Indices of (training, held-out) examples, each in ascending order; both have at least one."""
    if count < 2:
        raise invalid("data", "too few examples to hold some out", count, "at least 2")
    order = np.random.default_rng(seed).permutation(count)
    held = min(count - 1, max(1, round(count * fraction)))
    return np.sort(order[held:]), np.sort(order[:held])


def stratified_split(classes: NDArray[Any], fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Holds out the same part of each class, at least one example. Every class must have two examples or more."""
    generator = np.random.default_rng(seed)
    held: list[Indices] = []
    for label in np.unique(classes):
        members = generator.permutation(np.flatnonzero(classes == label))
        held.append(members[: min(len(members) - 1, max(1, round(len(members) * fraction)))])
    holdout = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(classes)), holdout), holdout


def count_classes(labels: Sequence[str], classes: NDArray[Any]) -> dict[str, int]:
    """Label → number of examples; `classes` are indices into the labels. Also labels without examples are included."""
    return dict(zip(labels, np.bincount(classes, minlength=len(labels)).tolist(), strict=True))


def ordered_labels(labels: Sequence[str] | set[str]) -> tuple[str, ...]:
    """Sort key: numbers by value, then by spelling; other labels by spelling. The order is the same in every
    process."""
    distinct = sorted(set(labels))
    try:
        return tuple(sorted(distinct, key=lambda label: (float(label), label)))
    except ValueError:
        return tuple(distinct)
