"""`tabular`: predicts a label or a number from the other columns of a row."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from lepton_core.model_format.features.fit import fit_numbers, fit_words
from lepton_core.model_format.features.pipeline import Array, Pipeline
from lepton_core.model_format.features.steps import DateParts, FlagMissing, Lookup, Step
from lepton_core.model_format.features.values import DatePart
from lepton_core.model_format.kinds.classes import CLASS
from lepton_core.model_format.kinds.number import NUMBER
from lepton_core.model_format.kinds.row import ROW
from lepton_core.model_format.signature import Datatype, Signature, TensorSpec
from lepton_trainer.recipes.splits import Indices
from lepton_trainer.recipes.tabular.data import Rows, likely_ids, read_rows, row_statistics, usual_words
from lepton_trainer.recipes.tabular.model import TabularMLP
from lepton_trainer.recipes.tabular.settings import Settings
from lepton_trainer.training.loader import TensorExamples
from lepton_trainer.training.recipe import Prepared, Recipe
from lepton_trainer.training.tasks.classification import Classification
from lepton_trainer.training.tasks.regression import Regression

# Number of classes in a line of the run's log.
SHOWN_CLASSES = 50


class Tabular(Recipe[Settings]):
    settings_model = Settings

    def prepare(self, data_dir: Path) -> Prepared:
        rows = read_rows(data_dir, self.settings)
        signature = _signature(rows, self.settings)
        pipeline = Pipeline.of(signature)
        statistics = row_statistics(rows)
        mean, std = (0.0, 1.0) if rows.labels else _scale(rows)
        targets = torch.from_numpy(rows.targets)
        if not rows.labels:
            targets = ((targets - mean) / std).float()
        return Prepared(
            task=Classification(rows.labels) if rows.labels else Regression(mean, std),
            train=_examples(rows, rows.train, targets, pipeline),
            holdout=_examples(rows, rows.holdout, targets, pipeline),
            signature=signature,
            statistics=statistics,
            description={**_description(rows, self.settings), "usual": usual_words(statistics)},
            limits=_limits(rows, self.settings),
            notes=_notes(rows, self.settings),
        )

    def model(self, data: Prepared) -> nn.Module:
        signature = data.signature
        dense = sum(tensor.shape[1] for tensor in signature.model_inputs if tensor.datatype is Datatype.FP32)
        lookups = [step for step in signature.steps if isinstance(step, Lookup)]
        categories = [len(words) + 1 for step in lookups for words in step.vocabularies]
        labels = len(signature.labels) or None
        settings = self.settings
        return TabularMLP(dense, categories, settings.hidden, settings.embedding, settings.dropout, labels)


def _signature(rows: Rows, settings: Settings) -> Signature:
    """Fits the preprocessing on the training rows only."""
    steps: list[Step] = []
    model_inputs = []
    dense: dict[str, Array] = {name: column[rows.train] for name, column in rows.numbers.items()}
    for name, column in rows.dates.items():
        step = DateParts(input=name, output=f"{name}.parts", parts=_parts(column))
        steps.append(step)
        dense[step.output] = Pipeline([step], [step.output])({name: column[rows.train]})[step.output]
    if dense:
        fitted = fit_numbers(dense, "numbers", "missing")
        steps += fitted
        width = sum(column.reshape(len(column), -1).shape[1] for column in dense.values())
        model_inputs.append(TensorSpec(name="numbers", datatype=Datatype.FP32, shape=(-1, width)))
        flagged = [len(step.columns) for step in fitted if isinstance(step, FlagMissing)]
        model_inputs += [TensorSpec(name="missing", datatype=Datatype.FP32, shape=(-1, count)) for count in flagged]
    if rows.words:
        columns = {name: column[rows.train].tolist() for name, column in rows.words.items()}
        steps.append(fit_words(columns, "categories", settings.max_categories))
        model_inputs.append(TensorSpec(name="categories", datatype=Datatype.INT64, shape=(-1, len(rows.words))))
    inputs = [TensorSpec(name=name, datatype=Datatype.FP64, shape=(-1, 1)) for name in rows.numbers]
    inputs += [TensorSpec(name=name, datatype=Datatype.BYTES, shape=(-1, 1)) for name in (*rows.dates, *rows.words)]
    if rows.labels:
        output = TensorSpec(name="probabilities", datatype=Datatype.FP32, shape=(-1, len(rows.labels)))
    else:
        output = TensorSpec(name="value", datatype=Datatype.FP32, shape=(-1, 1))
    return Signature(
        input_kind=ROW.name,
        output_kind=CLASS.name if rows.labels else NUMBER.name,
        inputs=tuple(inputs),
        steps=tuple(steps),
        model_inputs=tuple(model_inputs),
        outputs=(output,),
        labels=rows.labels,
        target=settings.target,
        number_formats=rows.formats,
        # Ignored in predictions, so that rows of the training file can be used.
        ignored=(*settings.ignore, *rows.left_out),
    )


def _parts(dates: Array) -> tuple[DatePart, ...]:
    """The parts of a date; the hour only if some date has a time."""
    timed = any(len(text) > len("2024-05-31") for text in dates.tolist())
    parts = (DatePart.YEAR, DatePart.MONTH, DatePart.WEEKDAY, DatePart.DAY)
    return (*parts, DatePart.HOUR) if timed else parts


def _scale(rows: Rows) -> tuple[float, float]:
    training = rows.targets[rows.train]
    return float(training.mean()), float(training.std()) or 1.0


def _examples(rows: Rows, indices: Indices, targets: Tensor, pipeline: Pipeline) -> TensorExamples:
    arrays = pipeline(rows.raw(indices))
    return TensorExamples(tuple(torch.from_numpy(array) for array in arrays.values()), targets[indices])


def _description(rows: Rows, settings: Settings) -> dict[str, object]:
    return {
        "kind": "rows",
        "examples": len(rows.targets),
        "training": len(rows.train),
        "held_out": len(rows.holdout),
        "split": rows.split,
        "target": settings.target,
        "numeric": list(rows.numbers),
        "dates": list(rows.dates),
        "categorical": list(rows.words),
        "ignored": list(settings.ignore),
        "empty_columns": list(rows.left_out),
        "rows_without_target": rows.rows_without_target,
    }


def _limits(rows: Rows, settings: Settings) -> tuple[str, ...]:
    limits = [
        f"Measured on {len(rows.holdout)} held-out rows from the same source as the training rows.",
        "Values far outside the training range are cut to eight standard deviations from its mean.",
        "A category that was seen less than twice in training counts as unknown.",
    ]
    if rows.rows_without_target:
        limits.append(f"{rows.rows_without_target} rows without a value of {settings.target!r} were left out.")
    return tuple(limits)


def _notes(rows: Rows, settings: Settings) -> tuple[str, ...]:
    columns = [f"{len(rows.numbers)} numeric", f"{len(rows.words)} categorical"]
    columns += [f"{len(rows.dates)} of dates"] if rows.dates else []
    kind = f"{len(rows.labels)} classes" if rows.labels else "regression"
    counts = f"{len(rows.train)} rows to train on, {len(rows.holdout)} held out ({rows.split})"
    notes = [f"data: {counts}, {kind}; columns: {', '.join(columns)}"]
    if rows.labels:
        notes.append(f"data: rows of each class: {_class_counts(rows)}")
    if missing := rows.rows_without_target:
        every = missing + len(rows.targets)
        notes.append(f"data: {missing} of {every} rows left out: no value in the target column {settings.target!r}")
    if rows.left_out:
        notes.append(f"data: columns left out, without any value: {', '.join(rows.left_out)}")
    if ids := likely_ids(rows):
        found = ", ".join(f"{name!r} ({different} in {count} rows)" for name, (different, count) in ids.items())
        names = json.dumps([*settings.ignore, *ids], ensure_ascii=False)
        notes.append(
            f"data: nearly as many different values as rows: {found}; ids do not help to predict new rows;"
            f" `ignore: {names}` under `train` leaves them out"
        )
    return (*notes, *rows.notes)


def _class_counts(rows: Rows) -> str:
    counts = np.bincount(rows.targets, minlength=len(rows.labels))
    shown = ", ".join(f"{label} ({count})" for label, count in zip(rows.labels[:SHOWN_CLASSES], counts, strict=False))
    more = len(rows.labels) - SHOWN_CLASSES
    return shown + (f" and {more} classes more" if more > 0 else "")
