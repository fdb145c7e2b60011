"""The table of a job: features by kind, target, split."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lepton_core.errors import invalid
from lepton_core.model_format.features.pipeline import Array
from lepton_trainer.recipes.splits import Indices, random_split, stratified_split
from lepton_trainer.recipes.tabular import columns
from lepton_trainer.recipes.tabular.settings import Settings
from lepton_trainer.recipes.tabular.table import Table, read_table
from lepton_trainer.recipes.unread import unread_note

# More different whole numbers than this are a quantity, not classes.
MAX_GUESSED_CLASSES = 20
# A column of text with this share of different values, in at least so many rows, is likely an id.
ID_SHARE, ID_ROWS = 0.9, 20
# A longer text is no category, and nothing to show as an example of one.
MAX_USUAL_CHARS = 200


@dataclass(frozen=True)
class Rows:
    """`numbers` FP64 (rows,), NaN where missing; `words` text (rows,), "" where missing: one array for each column."""

    numbers: dict[str, NDArray[np.float64]]
    words: dict[str, NDArray[Any]]
    task: Literal["classification", "regression"]
    # indices into labels, or values
    targets: NDArray[Any]
    labels: tuple[str, ...]
    train: Indices
    holdout: Indices
    split: str
    # columns without any value
    left_out: tuple[str, ...]
    rows_without_target: int
    # a line for the run's log if files of the data were passed over
    unread: tuple[str, ...]

    def raw(self, indices: Indices) -> dict[str, Array]:
        """The signature's input tensors, (rows, 1) each."""
        return {name: column[indices, None] for name, column in {**self.numbers, **self.words}.items()}


def read_rows(data_dir: Path, settings: Settings) -> Rows:
    """Raises INVALID naming setting, file, row and column of what cannot be used."""
    table = read_table(data_dir)
    columns.check_names(table, settings)
    has_target = columns.texts(table.frame[settings.target]).is_not_null().to_numpy()
    if not has_target.any():
        raise invalid("train.target", "the column has no value in any row", settings.target)
    task, targets, labels = _targets(table, settings, has_target)
    numbers: dict[str, NDArray[np.float64]] = {}
    words: dict[str, NDArray[Any]] = {}
    left_out = []
    for name in table.frame.columns:
        if name == settings.target or name in settings.ignore:
            continue
        if columns.is_empty(table, name):
            left_out.append(name)
        elif name in settings.numeric or (name not in settings.categorical and columns.is_numeric(table, name)):
            numbers[name] = columns.numbers(table, name)[has_target]
        else:
            words[name] = np.array(columns.words(table, name), dtype=object)[has_target]
    if not numbers and not words:
        raise invalid("data", "no column is left to predict from", allowed="at least one column besides the target")
    train, holdout, split = _split(table, settings, has_target, targets, task)
    missing = int((~has_target).sum())
    unread = unread_note(data_dir, [data_dir / name for name, _ in table.files])
    return Rows(numbers, words, task, targets, labels, train, holdout, split, tuple(left_out), missing, unread)


def _targets(
    table: Table, settings: Settings, has_target: NDArray[np.bool_]
) -> tuple[Literal["classification", "regression"], NDArray[Any], tuple[str, ...]]:
    name = settings.target
    if settings.task == "regression" or (settings.task == "auto" and _is_quantity(table, name)):
        return "regression", columns.numbers(table, name)[has_target], ()
    values = np.array(columns.words(table, name), dtype=object)[has_target]
    labels = columns.ordered_labels(values.tolist())
    if len(labels) < 2:
        raise invalid("train.target", f"every row has the value {labels[0]!r}", name, "at least two different values")
    index = {label: place for place, label in enumerate(labels)}
    return "classification", np.array([index[value] for value in values], np.int64), labels


def _is_quantity(table: Table, name: str) -> bool:
    if not columns.is_numeric(table, name):
        return False
    values = columns.texts(table.frame[name]).drop_nulls().unique().cast(float, strict=False).to_numpy()
    whole = np.isfinite(values) & (values == np.floor(values))
    return len(values) > MAX_GUESSED_CLASSES or not bool(whole.all())


def _split(
    table: Table, settings: Settings, has_target: NDArray[np.bool_], targets: NDArray[Any], task: str
) -> tuple[Indices, Indices, str]:
    if table.held is not None:
        held = table.held[has_target]
        if held.all() or not held.any():
            raise invalid("data", "the files for training or for testing have no row with a target")
        return np.flatnonzero(~held), np.flatnonzero(held), "as the files bring it"
    fraction, seed = settings.holdout_fraction, settings.seed
    if task == "classification":
        train, holdout = stratified_split(targets, fraction, seed)
        return train, holdout, f"{fraction:g} of each class held out, seed {seed}"
    train, holdout = random_split(len(targets), fraction, seed)
    return train, holdout, f"{fraction:g} of the rows held out, seed {seed}"


def likely_ids(rows: Rows) -> dict[str, tuple[int, int]]:
    """Category → (different values, rows with a value), where nearly every row has a value of its own."""
    found = {}
    for name, column in rows.words.items():
        present = [word for word in column.tolist() if word]
        different = len(set(present))
        if len(present) >= ID_ROWS and different >= ID_SHARE * len(present):
            found[name] = (different, len(present))
    return found


def usual_words(statistics: dict[str, Any]) -> dict[str, str]:
    """Category → its most frequent value in the training rows, which missing ones are not."""
    frequent = {name: next(iter(column.get("frequent", {})), "") for name, column in statistics["columns"].items()}
    return {name: word for name, word in frequent.items() if 0 < len(word) <= MAX_USUAL_CHARS}


def row_statistics(rows: Rows) -> dict[str, Any]:
    """What the training rows look like, column by column, for comparison with what is served later."""
    described: dict[str, Any] = {name: _describe_numbers(column[rows.train]) for name, column in rows.numbers.items()}
    described |= {name: _describe_words(column[rows.train]) for name, column in rows.words.items()}
    targets = rows.targets[rows.train]
    if rows.labels:
        target: dict[str, Any] = {"labels": dict(zip(rows.labels, np.bincount(targets).tolist(), strict=False))}
    else:
        target = _describe_numbers(targets)
    return {"kind": "row", "examples": len(rows.train), "columns": described, "target": target}


def _describe_numbers(column: NDArray[np.float64]) -> dict[str, Any]:
    present = column[~np.isnan(column)]
    summary: dict[str, Any] = {"kind": "number", "missing": len(column) - len(present)}
    if len(present):
        counts, edges = np.histogram(present, bins=20)
        summary |= {"mean": float(present.mean()), "std": float(present.std())}
        summary |= {"min": float(present.min()), "max": float(present.max())}
        summary |= {"quantiles": np.quantile(present, [0.05, 0.25, 0.5, 0.75, 0.95]).tolist()}
        summary |= {"histogram": {"edges": edges.tolist(), "counts": counts.tolist()}}
    return summary


def _describe_words(column: NDArray[Any]) -> dict[str, Any]:
    values, counts = np.unique(column.astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")[:50]
    frequent = {str(values[index]): int(counts[index]) for index in order if values[index]}
    missing = int(counts[values == ""].sum())
    return {"kind": "category", "missing": missing, "different": len(values), "frequent": frequent}
