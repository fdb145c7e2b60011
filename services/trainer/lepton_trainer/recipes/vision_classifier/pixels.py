"""What both layouts share: the size all images get, and how much of them fits."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lepton_core.errors import invalid
from lepton_trainer.recipes.vision_classifier.settings import Settings

Pixels = NDArray[np.uint8]

DEFAULT_SIZE = 64
# Larger images are rarely meant to be trained on as they are.
LARGEST_OWN_SIZE = 128
MAX_BYTES = 4 * 1024**3


@dataclass(frozen=True)
class Labelled:
    """UINT8 (count, height, width, channels), a label for each, which are held out, if the data says so.

    `files`: all that were looked at; `dropped`: how many of them were passed over, as `notes` says in the run's log.
    """

    pixels: Pixels
    labels: list[str]
    held: NDArray[np.bool_] | None
    files: tuple[Path, ...]
    dropped: int = 0
    notes: tuple[str, ...] = ()


def target_shape(shapes: list[tuple[int, int, int]], settings: Settings) -> tuple[int, int, int]:
    """(height, width, channels) for all images, given each one's own. Raises INVALID when that is too much to hold."""
    sizes = {(height, width) for height, width, _ in shapes}
    if settings.image_size is not None:
        height = width = settings.image_size
    elif len(sizes) == 1 and max(max(sizes)) <= LARGEST_OWN_SIZE:
        height, width = sizes.pop()
    else:
        height = width = DEFAULT_SIZE
    channels = {"gray": 1, "rgb": 3}.get(settings.channels) or max(channels for _, _, channels in shapes)
    if (size := len(shapes) * height * width * channels) > MAX_BYTES:
        message = (
            f"{len(shapes)} images of {height} × {width} take {size} bytes; at most {MAX_BYTES} are held in memory"
        )
        raise invalid("image_size", message, settings.image_size, "a smaller image_size")
    return height, width, channels
