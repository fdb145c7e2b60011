"""Names of files and folders that say what is trained on and what is held out. They mean the same in every recipe."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Literal

from lepton_core.errors import invalid

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
    """Which of the files are held out, by their names; None when none is named for a part, when all are to train on,
    and for one file that is all of the data.

    Raises INVALID where only some are named for a part, since to train on the others would mix what is kept apart, and
    where all are held out.
    `files` are paths within the data.
    """
    by_rule = [[find(PurePosixPath(file)) for file in files] for find in (_by_dots, _by_ends, _by_any_word)]
    for parts in by_rule:
        if {"train", "holdout"} == set(parts):
            return [part == "holdout" for part in parts]
    # `blood_test.csv` beside `urine.csv` is no split; with `blood_train.csv` it is one.
    parts = next((parts for parts in by_rule if {"train", "holdout"} <= set(parts)), by_rule[0])
    if set(parts) == {"holdout"} and files != [PurePosixPath(files[0]).name]:
        raise invalid("data", f"{files[0]} is named to be held out, and no file to train on", allowed=SPLIT_RULE)
    if "holdout" in parts and None in parts:
        named, other = files[parts.index("holdout")], files[parts.index(None)]
        raise invalid(
            "data", f"{named} is named to be held out, and {other} for no part of a split", allowed=SPLIT_RULE
        )
    return None


def _by_dots(file: PurePosixPath) -> Part | None:
    """`train.csv`, `adult.train.csv`."""
    words = file.name.lower().split(".")[:-1]
    return _part(file, [*words[:1], *words[-1:]])


def _by_ends(file: PurePosixPath) -> Part | None:
    """`train-00000-of-00001.parquet`, `X_train.csv`."""
    words = re.split(r"[._ -]", file.name.lower())[:-1]
    return _part(file, [*words[:1], *words[-1:]])


def _by_any_word(file: PurePosixPath) -> Part | None:
    """`data_train_2024.csv`, `trainData1.csv`. A name with words of both parts says nothing."""
    words = [word.lower() for word in re.findall(r"[A-Z]*[a-z]+|[A-Z]+", file.stem)]
    found = {_part(file, [word]) for word in words} - {None}
    return found.pop() if len(found) == 1 else _part(file, [])


def _part(file: PurePosixPath, words: Sequence[str]) -> Part | None:
    """By the first name that names a part: a folder's counts before the words of the file's own."""
    for name in (*(folder.lower() for folder in file.parent.parts), *words):
        if name in TRAIN_NAMES:
            return "train"
        if name in HOLDOUT_NAMES:
            return "holdout"
    return None
