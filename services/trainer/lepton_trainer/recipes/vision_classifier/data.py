"""Images with their labels, checked and split. folders.py and npz.py read the two layouts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lepton_core.data_layout.classes import require_trained, require_two_of_each
from lepton_core.errors import invalid
from lepton_trainer.recipes.splits import (
    Indices,
    count_classes,
    ordered_labels,
    stratified_split,
)
from lepton_trainer.recipes.unread import unread_note
from lepton_trainer.recipes.vision_classifier.folders import read_folders
from lepton_trainer.recipes.vision_classifier.npz import read_npz
from lepton_trainer.recipes.vision_classifier.pixels import Pixels
from lepton_trainer.recipes.vision_classifier.settings import Settings


@dataclass(frozen=True)
class Images:
    """`pixels` UINT8 (count, height, width, channels); `classes` are indices into `labels`."""

    pixels: Pixels
    classes: NDArray[np.int64]
    labels: tuple[str, ...]
    train: Indices
    holdout: Indices
    # how the data was split, for the model card
    split: str
    dropped: int
    # lines for the run's log about ignored files
    notes: tuple[str, ...]


def read_images(data_dir: Path, settings: Settings) -> Images:
    """Raises INVALID for files that are not images, and for an unknown layout."""
    archives = sorted(data_dir.glob("*.npz"))
    found = read_npz(archives, settings) if archives else read_folders(data_dir, settings)
    labels = ordered_labels(found.labels)
    if len(labels) < 2:
        raise invalid("data", "all images have the same label", labels[0], "at least two classes")
    places = {label: place for place, label in enumerate(labels)}
    classes = np.array([places[label] for label in found.labels], np.int64)
    if found.held is None:
        require_two_of_each(count_classes(labels, classes))
        train, holdout = stratified_split(classes, settings.holdout_fraction, settings.seed)
        split = f"{settings.holdout_fraction:g} of each class held out, seed {settings.seed}"
    else:
        train, holdout = np.flatnonzero(~found.held), np.flatnonzero(found.held)
        split = "as the data brings it"
    require_trained(count_classes(labels, classes[train]), count_classes(labels, classes[holdout]))
    notes = (*found.notes, *unread_note(data_dir, found.files))
    return Images(found.pixels, classes, labels, train, holdout, split, found.dropped, notes)


def image_statistics(images: Images) -> dict[str, Any]:
    """Statistics of the training images: counts of each class, and of pixel values by channel in 16 bins."""
    pixels, classes = images.pixels[images.train], images.classes[images.train]
    channels = []
    for channel in range(pixels.shape[-1]):
        counts = np.bincount(pixels[..., channel].reshape(-1), minlength=256)
        mean = float((counts * np.arange(256)).sum() / counts.sum())
        channels.append({"mean": mean, "histogram": counts.reshape(16, 16).sum(axis=1).tolist()})
    labels = np.bincount(classes, minlength=len(images.labels)).tolist()
    return {
        "kind": "image",
        "examples": len(pixels),
        "labels": dict(zip(images.labels, labels, strict=True)),
        "channels": channels,
    }
