"""Reads image folders: one folder for each class, optionally below train/ and test/."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lepton_core.data_layout.image_folders import BadFile, Entry, bad_files, find_images, list_files
from lepton_core.errors import LeptonError, invalid
from lepton_core.model_format.images import ImageError, decode_with_note, image_shape
from lepton_trainer.recipes.vision_classifier.pixels import Labelled, Pixels, target_shape
from lepton_trainer.recipes.vision_classifier.settings import Settings


def read_folders(data_dir: Path, settings: Settings) -> Labelled:
    """Files that are not images are all found before the run fails, or are ignored (`on_bad: drop`)."""
    found = find_images(data_dir)
    entries = [*found.train, *found.holdout]
    held_from = len(found.train)
    shapes, bad = _shapes(entries)
    if not shapes:
        raise _no_image_left(entries[0]) if settings.on_bad == "drop" else bad_files(data_dir, list(bad.values()))
    pixels = np.empty((len(shapes), *target_shape(list(shapes.values()), settings)), np.uint8)
    good, damaged, faint = _decode(entries, list(shapes), pixels)
    bad |= damaged
    if bad and settings.on_bad == "fail":
        raise bad_files(data_dir, [bad[place] for place in sorted(bad)])
    _require_all_classes(entries, good, held_from)
    flags = np.array(good) >= held_from if found.holdout else None
    dropped = [bad[place] for place in sorted(bad)]
    notes = {
        f"files dropped (on_bad: drop): {list_files(data_dir, dropped)}": len(dropped),
        f"images lost what they show by scaling to 8 bits: {list_files(data_dir, faint)}": len(faint),
    }
    return Labelled(
        pixels=pixels[: len(good)],
        labels=[entries[place][1] for place in good],
        held=flags,
        files=tuple(path for path, _ in entries),
        dropped=len(dropped),
        notes=tuple(f"data: {count} {note}" for note, count in notes.items() if count),
    )


def _shapes(entries: Sequence[Entry]) -> tuple[dict[int, tuple[int, int, int]], dict[int, BadFile]]:
    """Index of the entry → (height, width, channels), from the headers only; and the files without a valid header."""
    shapes: dict[int, tuple[int, int, int]] = {}
    bad: dict[int, BadFile] = {}
    for place, (path, _) in enumerate(entries):
        try:
            shapes[place] = image_shape(path.read_bytes())
        except ImageError as error:
            bad[place] = (path, error.reason)
    return shapes, bad


def _decode(
    entries: Sequence[Entry], places: Sequence[int], pixels: Pixels
) -> tuple[list[int], dict[int, BadFile], list[BadFile]]:
    """Fills the first rows of `pixels` with the images of these indices.

    Returns the indices that could be read, the damaged files, and the files that have nearly one shade, with their
    values.
    """
    good: list[int] = []
    damaged: dict[int, BadFile] = {}
    faint: list[BadFile] = []
    for place in places:
        path = entries[place][0]
        try:
            pixels[len(good)], note = decode_with_note(path.read_bytes(), *pixels.shape[1:])
        except ImageError as error:
            damaged[place] = (path, error.reason)
            continue
        good.append(place)
        if note:
            faint.append((path, note))
    return good, damaged, faint


def _require_all_classes(entries: Sequence[Entry], good: Sequence[int], held_from: int) -> None:
    """Raises INVALID for a class of which all files were dropped."""
    left = {(entries[place][1], place >= held_from) for place in good}
    for place, entry in enumerate(entries):
        if (entry[1], place >= held_from) not in left:
            raise _no_image_left(entry)


def _no_image_left(entry: Entry) -> LeptonError:
    path, label = entry
    message = f"the folder of the class {label!r} has no readable image; {path.name} is not an image"
    return invalid("data", message, allowed="at least one image for each class")
