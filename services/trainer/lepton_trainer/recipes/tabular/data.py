"""The table of a job: features by kind, target, split."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lepton_core.data_layout.classes import require_trained, require_two_of_each
from lepton_core.errors import invalid
from lepton_core.model_format.features.pipeline import Array
from lepton_core.model_format.features.values import NumberFormat
from lepton_trainer.recipes.splits import (
    Indices,
    count_classes,
    ordered_labels,
    random_split,
    stratified_split,
)
from lepton_trainer.recipes.tabular import columns
from lepton_trainer.recipes.tabular.columns import Guess, Kind
from lepton_trainer.recipes.tabular.settings import Settings
from lepton_trainer.recipes.tabular.table import Table, read_table
from lepton_trainer.recipes.unread import unread_note

# With more different whole numbers than this, the target is a quantity, not classes.
MAX_GUESSED_CLASSES = 20
# A text column with this part of different values, in at least this number of rows, is probably an id.
ID_SHARE, ID_ROWS = 0.9, 20
# A longer text is not shown as an example of a category.
MAX_USUAL_CHARS = 200
HISTOGRAM_BINS = 20
FREQUENT_WORDS = 50
_ID_NAME = re.compile(r"(?:^|[ _.-])(?:id|ids|uuid|key|index|nr|no|number)$|Id$|ID$|^(?:id|unnamed: 0)$", re.IGNORECASE)


@dataclass(frozen=True)
class Rows:
    """One array (rows,) for each column: `numbers` FP64 with NaN for missing values, `dates` and `words` text with ""
    for missing values."""

    numbers: dict[str, NDArray[np.float64]]
    dates: dict[str, NDArray[Any]]
    words: dict[str, NDArray[Any]]
    # the number format of a column, if it is not plain
    formats: dict[str, NumberFormat]
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
    # lines for the run's log: types of columns, and ignored files of the data
    notes: tuple[str, ...]

    def raw(self, indices: Indices) -> dict[str, Array]:
        """The signature's input tensors, (rows, 1) each."""
        return {name: column[indices, None] for name, column in {**self.numbers, **self.dates, **self.words}.items()}


def read_rows(data_dir: Path, settings: Settings) -> Rows:
    """Raises INVALID that names setting, file, row and column of data that cannot be used."""
    table = read_table(data_dir)
    columns.check_names(table, settings)
    target = columns.guess(table, settings.target, categorical=settings.task == "classification")
    has_target = _has_value(table, settings.target, target)
    if not has_target.any():
        raise invalid(("train", "target"), "the column has no value in any row", settings.target)
    task, targets, labels = _targets(table, settings, target, has_target)
    numbers: dict[str, NDArray[np.float64]] = {}
    dates: dict[str, NDArray[Any]] = {}
    words: dict[str, NDArray[Any]] = {}
    formats: dict[str, NumberFormat] = {}
    left_out: list[str] = []
    notes = [target.note] if task == "regression" else []
    for name in table.frame.columns:
        if name == settings.target or name in settings.ignore:
            continue
        found = columns.guess(table, name, numeric=name in settings.numeric, categorical=name in settings.categorical)
        notes.append(found.note)
        match found.kind:
            case Kind.EMPTY:
                left_out.append(name)
            case Kind.NUMBER:
                numbers[name] = columns.numbers(table, name, found.form)[has_target]
                formats |= {name: found.form} if found.form is not NumberFormat.PLAIN else {}
            case Kind.DATE:
                dates[name] = np.array(columns.dates(table, name), dtype=object)[has_target]
            case Kind.CATEGORY:
                words[name] = np.array(columns.words(table, name), dtype=object)[has_target]
    if not numbers and not words and not dates:
        raise invalid("data", "there is no column to predict from", allowed="at least one column besides the target")
    train, holdout, split = _split(table, settings, has_target, targets, labels)
    return Rows(
        numbers=numbers,
        dates=dates,
        words=words,
        formats=formats,
        task=task,
        targets=targets,
        labels=labels,
        train=train,
        holdout=holdout,
        split=split,
        left_out=tuple(left_out),
        rows_without_target=int((~has_target).sum()),
        notes=(*filter(None, notes), *unread_note(data_dir, [data_dir / name for name, _ in table.files])),
    )


def _has_value(table: Table, name: str, found: Guess) -> NDArray[np.bool_]:
    if found.kind is Kind.NUMBER:
        return ~np.isnan(columns.numbers(table, name, found.form))
    present: NDArray[np.bool_] = columns.texts(table.frame[name]).is_not_null().to_numpy()
    return present


def _targets(
    table: Table, settings: Settings, found: Guess, has_target: NDArray[np.bool_]
) -> tuple[Literal["classification", "regression"], NDArray[Any], tuple[str, ...]]:
    name = settings.target
    if settings.task == "regression" or (settings.task == "auto" and _is_quantity(table, name, found)):
        return "regression", columns.numbers(table, name, found.form)[has_target], ()
    values = np.array(columns.words(table, name), dtype=object)[has_target]
    labels = ordered_labels(values.tolist())
    if len(labels) < 2:
        raise invalid(
            ("train", "target"), f"every row has the value {labels[0]!r}", name, "at least two different values"
        )
    index = {label: place for place, label in enumerate(labels)}
    return "classification", np.array([index[value] for value in values], np.int64), labels


def _is_quantity(table: Table, name: str, found: Guess) -> bool:
    if found.kind is not Kind.NUMBER:
        return False
    values = np.unique(columns.numbers(table, name, found.form))
    values = values[~np.isnan(values)]
    whole = values == np.floor(values)
    return len(values) > MAX_GUESSED_CLASSES or not bool(whole.all())


def _split(
    table: Table, settings: Settings, has_target: NDArray[np.bool_], targets: NDArray[Any], labels: tuple[str, ...]
) -> tuple[Indices, Indices, str]:
    if table.held is not None:
        held = table.held[has_target]
        if held.all() or not held.any():
            raise invalid("data", "the files for training or for testing have no row with a target")
        train, holdout = np.flatnonzero(~held), np.flatnonzero(held)
        if labels:
            require_trained(count_classes(labels, targets[train]), count_classes(labels, targets[holdout]))
        return train, holdout, "as the names of the files say"
    fraction, seed = settings.holdout_fraction, settings.seed
    if labels:
        require_two_of_each(count_classes(labels, targets))
        train, holdout = stratified_split(targets, fraction, seed)
        return train, holdout, f"{fraction:g} of each class held out, seed {seed}"
    train, holdout = random_split(len(targets), fraction, seed)
    return train, holdout, f"{fraction:g} of the rows held out, seed {seed}"


def likely_ids(rows: Rows) -> dict[str, tuple[int, int]]:
    """Columns in which nearly every row has another value → (different values, rows with a value).

    Numeric columns are included only if they count up row by row, or have the name of an id: measurements also differ.
    """
    found = {}
    for name, column in rows.words.items():
        present = [word for word in column.tolist() if word]
        different = len(set(present))
        if len(present) >= ID_ROWS and different >= ID_SHARE * len(present) and not columns.are_times(present):
            found[name] = (different, len(present))
    for name, column in rows.numbers.items():
        values = column[~np.isnan(column)]
        if len(values) < ID_ROWS or not np.array_equal(values, np.floor(values)):
            continue
        different = len(np.unique(values))
        counted = different == len(values) and bool((np.abs(np.diff(values)) == 1).all())
        if counted or (_ID_NAME.search(name) and different >= ID_SHARE * len(values)):
            found[name] = (different, len(values))
    return found


def usual_words(statistics: dict[str, Any]) -> dict[str, str]:
    """Column → its most frequent value in the training rows, without missing values."""
    frequent = {name: next(iter(column.get("frequent", {})), "") for name, column in statistics["columns"].items()}
    return {name: word for name, word in frequent.items() if 0 < len(word) <= MAX_USUAL_CHARS}


def row_statistics(rows: Rows) -> dict[str, Any]:
    """Statistics of each column of the training rows, for a later comparison with served data."""
    described: dict[str, Any] = {name: _describe_numbers(column[rows.train]) for name, column in rows.numbers.items()}
    described |= {name: _describe_words(column[rows.train]) for name, column in (rows.dates | rows.words).items()}
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
        summary |= {"mean": float(present.mean()), "std": float(present.std())}
        summary |= {"min": float(present.min()), "max": float(present.max())}
        summary |= {"quantiles": np.quantile(present, [0.05, 0.25, 0.5, 0.75, 0.95]).tolist()}
        summary |= {"histogram": _histogram(present)}
    return summary


def _histogram(present: NDArray[np.float64]) -> dict[str, Any]:
    try:
        counts, edges = np.histogram(present, bins=HISTOGRAM_BINS)
    except ValueError:
        # Large numbers with a small range may have fewer than 20 different values between the smallest and the largest.
        counts, edges = np.array([len(present)]), np.array([present.min(), present.max()])
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _describe_words(column: NDArray[Any]) -> dict[str, Any]:
    """Counts Python strings: a numpy array of text would use the size of the longest value for all."""
    counts = Counter(column.tolist())
    missing = counts.get("", 0)
    usual = sorted(
        (word for word in counts if 0 < len(word) <= MAX_USUAL_CHARS), key=lambda word: (-counts[word], word)
    )
    frequent = {word: counts[word] for word in usual[:FREQUENT_WORDS]}
    return {"kind": "category", "missing": missing, "different": len(counts), "frequent": frequent}
