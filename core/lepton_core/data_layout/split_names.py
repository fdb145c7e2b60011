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
