"""Shared by both layouts: the common size of the images, and the memory limit."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lepton_core.errors import invalid
from lepton_trainer.recipes.vision_classifier.settings import Settings

Pixels = NDArray[np.uint8]

DEFAULT_SIZE = 64
# The default size of larger images, which are rarely trained on in full size.
LARGEST_OWN_SIZE = 128
MAX_BYTES = 4 * 1024**3


@dataclass(frozen=True)
class Labelled:
    """Pixels UINT8 (count, height, width, channels), their labels, and which are held out, if the data has a split.

    `files`: number of files found; `dropped`: number of ignored ones, which `notes` names in the run's log.
    """

    pixels: Pixels
    labels: list[str]
    held: NDArray[np.bool_] | None
    files: tuple[Path, ...]
    dropped: int = 0
    notes: tuple[str, ...] = ()


def target_shape(shapes: list[tuple[int, int, int]], settings: Settings) -> tuple[int, int, int]:
    """The common (height, width, channels) for images of the given shapes. Raises INVALID if they need too much
    memory."""
    sizes = {(height, width) for height, width, _ in shapes}
    if settings.image_size is not None:
        height = width = settings.image_size
    elif len(sizes) == 1 and max(max(sizes)) <= LARGEST_OWN_SIZE:
        height, width = sizes.pop()
    else:
        height = width = DEFAULT_SIZE
    channels = {"gray": 1, "rgb": 3}.get(settings.channels) or max(channels for _, _, channels in shapes)
    if (size := len(shapes) * height * width * channels) > MAX_BYTES:
        message = f"{len(shapes)} images of {height} × {width} need {size} bytes of memory; allowed: {MAX_BYTES}"
        raise invalid("image_size", message, settings.image_size, "a smaller image_size")
    return height, width, channels
