"""Learns from the training rows what the steps of a table need: what to impute, how to scale, which words there are."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from lepton_core.model_format.features.pipeline import Array
from lepton_core.model_format.features.steps import Concatenate, FlagMissing, Impute, Lookup, Normalize, Step
from lepton_core.model_format.features.values import as_text

# A value seen once says nothing about its meaning; it shares index 0 with what was never seen.
MIN_OCCURRENCES = 2
# A longer text is no category, and would fill the signature.
MAX_WORD_CHARS = 1_000
CLIP = 8.0


def fit_numbers(columns: Mapping[str, Array], output: str, flags: str) -> list[Step]:
    """Steps from FP64 columns, (rows,) or (rows, n), to one scaled FP32 matrix `output`, and to `flags` if anything
    was missing."""
    matrix = np.concatenate([np.asarray(each, np.float64).reshape(len(each), -1) for each in columns.values()], axis=1)
    medians = tuple(_median(matrix[:, index]) for index in range(matrix.shape[1]))
    missing = np.isnan(matrix)
    filled = np.where(missing, medians, matrix)
    std = filled.std(axis=0)
    flagged = tuple(int(index) for index in np.flatnonzero(missing.any(axis=0)))
    steps: list[Step] = [Concatenate(inputs=tuple(columns), output=f"{output}.raw")]
    if flagged:
        steps.append(FlagMissing(input=f"{output}.raw", output=flags, columns=flagged))
    steps.append(Impute(input=f"{output}.raw", output=f"{output}.filled", values=medians))
    steps.append(
        Normalize(
            input=f"{output}.filled",
            output=output,
            mean=tuple(filled.mean(axis=0).tolist()),
            # A constant column becomes zeros, not a division by zero.
            std=tuple(np.where(std > 0, std, 1.0).tolist()),
            clip=CLIP,
        )
    )
    return steps


def fit_words(columns: Mapping[str, Sequence[object]], output: str, max_words: int) -> Lookup:
    """One vocabulary a column: its most frequent words, in the order of their spelling."""
    return Lookup(
        inputs=tuple(columns),
        output=output,
        vocabularies=tuple(_vocabulary(values, max_words) for values in columns.values()),
    )


def fit_pixels(images: Array, input_name: str, output: str) -> Normalize:
    """Mean and spread of each channel of UINT8 images (count, height, width, channels)."""
    count = images.size // images.shape[-1]
    # Histograms are exact, and need neither a floating-point copy of the images nor care with sums.
    values = np.arange(256, dtype=np.float64)
    mean, std = [], []
    for channel in range(images.shape[-1]):
        histogram = np.bincount(images[..., channel].reshape(-1), minlength=256)
        centre = float((histogram * values).sum() / count)
        mean.append(centre)
        std.append(float(np.sqrt((histogram * (values - centre) ** 2).sum() / count)) or 1.0)
    return Normalize(input=input_name, output=output, mean=tuple(mean), std=tuple(std))


def _median(column: Array) -> float:
    present = column[~np.isnan(column)]
    return float(np.median(present)) if len(present) else 0.0


def _vocabulary(values: Sequence[object], max_words: int) -> tuple[str, ...]:
    counts = Counter(text for value in values if len(text := as_text(value)) <= MAX_WORD_CHARS)
    frequent = [word for word, count in counts.most_common(max_words) if count >= MIN_OCCURRENCES]
    return tuple(sorted(frequent))
