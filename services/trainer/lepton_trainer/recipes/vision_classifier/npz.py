"""NPZ files: arrays `images` and `labels`, optionally as train.npz and test.npz."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lepton_core.data_layout.split_names import held_out
from lepton_core.errors import LeptonError, invalid
from lepton_core.model_format.images import resize_pixels
from lepton_trainer.recipes.vision_classifier.pixels import MAX_BYTES, Labelled, Pixels, target_shape
from lepton_trainer.recipes.vision_classifier.settings import Settings

LAYOUT = "arrays `images` (count, height, width[, 1 or 3]) and `labels` (count)"


def read_npz(files: list[Path], settings: Settings) -> Labelled:
    """Reads all files. They define a split if each is named for its part, such as train.npz and test.npz."""
    parts = [_read(path) for path in files]
    flags = held_out([path.name for path in files])
    shapes = [(*images.shape[1:3], images.shape[3]) for images, _ in parts for _ in range(len(images))]
    height, width, channels = target_shape(shapes, settings)
    pixels = np.concatenate([_resized(images, height, width, channels) for images, _ in parts])
    labels = [label for _, labels in parts for label in labels]
    held = None if flags is None else np.repeat(flags, [len(images) for images, _ in parts])
    return Labelled(pixels, labels, held, tuple(files))


def _read(path: Path) -> tuple[Pixels, list[str]]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAX_BYTES:
            raise _refused(path, f"has {size} bytes unpacked; allowed: {MAX_BYTES}")
        with np.load(path, allow_pickle=False) as arrays:
            if absent := [name for name in ("images", "labels") if name not in arrays]:
                raise _refused(path, f"has no array {absent[0]!r}, only {', '.join(map(repr, arrays)) or 'nothing'}")
            images, labels = arrays["images"], arrays["labels"]
    except LeptonError:
        raise
    except Exception as error:  # noqa: BLE001 - damaged zip and npy files raise many kinds of errors
        raise _refused(path, f"not a readable NPZ file: {error}") from None
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or 0 in images.shape:
        raise _refused(path, f"images has the shape {list(images.shape)}")
    if labels.shape != (len(images),):
        raise _refused(path, f"labels has the shape {list(labels.shape)} beside {len(images)} images")
    if labels.dtype.kind not in "iuUSb":
        raise _refused(path, f"labels has the type {labels.dtype}; whole numbers or text are allowed")
    names = [label.decode("utf-8", "replace") if isinstance(label, bytes) else str(label) for label in labels.tolist()]
    return _eight_bit(path, images), names


def _eight_bit(path: Path, images: NDArray[Any]) -> Pixels:
    """Values from 0 to 255 are unchanged; floating-point values from 0 to 1 are multiplied by 255."""
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind not in "iufb":
        raise _refused(path, f"images has the type {images.dtype}; numbers are allowed")
    wrong = ~np.isfinite(images) | (images < 0) | (images > 255)
    if wrong.any():
        place = int(np.flatnonzero(wrong.reshape(len(images), -1).any(axis=1))[0])
        value = images[place][wrong[place]].reshape(-1)[0]
        raise _refused(path, f"image {place} (counted from 0) has the value {value}; 0 to 255 (or 0 to 1) are allowed")
    if images.dtype.kind == "b" or (images.dtype.kind == "f" and float(images.max()) <= 1):
        images = images.astype(np.float32) * 255
    rounded: Pixels = np.rint(images).astype(np.uint8)
    return rounded


def _resized(images: Pixels, height: int, width: int, channels: int) -> Pixels:
    if images.shape[1:] == (height, width, channels):
        return images
    return np.stack([resize_pixels(image, height, width, channels) for image in images])


def _refused(path: Path, message: str) -> LeptonError:
    return invalid("data", f"{path.name}: {message}", allowed=LAYOUT)
