"""Which examples are held out for evaluation: those that the data names for it, else a seeded, repeatable share."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lepton_core.errors import invalid

Indices = NDArray[np.int64]

# What folders and files are called that bring a split of their own.
TRAIN_NAMES = frozenset({"train", "training"})
HOLDOUT_NAMES = frozenset({"test", "testing", "val", "valid", "validation", "dev", "eval", "evaluation", "holdout"})
SPLIT_RULE = (
    f"for a split of your own, files or folders named {' or '.join(sorted(TRAIN_NAMES))} to train on and "
    f"{', '.join(sorted(HOLDOUT_NAMES))} to hold out, and no other beside them (train.csv and test.csv, "
    "adult.train.csv and adult.test.csv, train/ and test/)"
)
Part = Literal["train", "holdout"]


def held_out(files: Sequence[str]) -> list[bool] | None:
    """Which of the files are held out, by their names; None when none is named for a part, or all for the same one.

    Raises INVALID where only some are named for a part: to train on the others would mix what is kept apart.
    `files` are paths within the data.
    """
    for separators in (r"[.]", r"[._ -]"):
        parts = [_part(PurePosixPath(file), separators) for file in files]
        if {"train", "holdout"} == set(parts):
            return [part == "holdout" for part in parts]
    parts = [_part(PurePosixPath(file), r"[.]") for file in files]
    if "holdout" in parts and None in parts:
        named, other = files[parts.index("holdout")], files[parts.index(None)]
        raise invalid(
            "data", f"{named} is named to be held out, and {other} for no part of a split", allowed=SPLIT_RULE
        )
    return None


def _part(file: PurePosixPath, separators: str) -> Part | None:
    """A folder's name counts before the file's. Of a file's name, its first or last word."""
    words = re.split(separators, file.name.lower())[:-1]
    for name in (*(folder.lower() for folder in file.parent.parts), *words[:1], *words[-1:]):
        if name in TRAIN_NAMES:
            return "train"
        if name in HOLDOUT_NAMES:
            return "holdout"
    return None


def random_split(count: int, fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Indices of (training, held-out) examples, each in rising order; both have at least one."""
    if count < 2:
        raise invalid("data", "too few examples to hold some out", count, "at least 2")
    order = np.random.default_rng(seed).permutation(count)
    held = min(count - 1, max(1, round(count * fraction)))
    return np.sort(order[held:]), np.sort(order[:held])


def stratified_split(classes: NDArray[Any], fraction: float, seed: int) -> tuple[Indices, Indices]:
    """Holds out the same share of each class, at least one. Every class must have two examples or more."""
    generator = np.random.default_rng(seed)
    held: list[Indices] = []
    for label in np.unique(classes):
        members = generator.permutation(np.flatnonzero(classes == label))
        held.append(members[: min(len(members) - 1, max(1, round(len(members) * fraction)))])
    holdout = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(classes)), holdout), holdout


def require_two_of_each(labels: Sequence[str], classes: NDArray[Any]) -> None:
    """Raises INVALID naming the classes with a single example: it could be trained on or measured, not both."""
    counts = np.bincount(classes, minlength=len(labels))
    if single := [label for label, count in zip(labels, counts, strict=True) if count < 2]:
        shown = ", ".join(map(repr, single[:5])) + (f" and {len(single) - 5} more" if len(single) > 5 else "")
        message = f"{len(single)} {'class has' if len(single) == 1 else 'classes have'} only one example: {shown}"
        raise invalid("data", message, allowed="at least 2 examples of each class")


def require_trained(labels: Sequence[str], classes: NDArray[Any], train: Indices, holdout: Indices) -> None:
    """Raises INVALID for a class that is held out and never trained on: its answers could only be wrong."""
    untrained = sorted(set(classes[holdout].tolist()) - set(classes[train].tolist()))
    if untrained:
        shown = ", ".join(repr(labels[place]) for place in untrained[:5])
        more = f" and {len(untrained) - 5} more" if len(untrained) > 5 else ""
        raise invalid("data", f"held out, and without a training example: class {shown}{more}")


def ordered_labels(labels: Sequence[str] | set[str]) -> tuple[str, ...]:
    """Whole or decimal numbers by value, then by spelling; everything else by spelling. The same in every process."""
    distinct = sorted(set(labels))
    try:
        return tuple(sorted(distinct, key=lambda label: (float(label), label)))
    except ValueError:
        return tuple(distinct)
