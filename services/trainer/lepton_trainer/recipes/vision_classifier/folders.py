"""Image folders: one folder for each class, optionally below train/ and test/."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from lepton_core.errors import invalid
from lepton_core.images import ImageError, decode_image, image_shape
from lepton_trainer.recipes.vision_classifier.pixels import Labelled, target_shape
from lepton_trainer.recipes.vision_classifier.settings import Settings

T = TypeVar("T")

TRAIN_NAMES = {"train", "training"}
HOLDOUT_NAMES = {"test", "val", "valid", "validation", "holdout"}
LAYOUT = "one folder of images for each class (optionally within train/ and test/), or .npz files"


def read_folders(data_dir: Path, settings: Settings) -> Labelled:
    """Every visible file below a class's folder must be an image: what is not is an error that names it."""
    root = _root(data_dir)
    folders = list(_subfolders(root))
    train_dirs = [folder for folder in folders if folder.name.lower() in TRAIN_NAMES]
    holdout_dirs = [folder for folder in folders if folder.name.lower() in HOLDOUT_NAMES]
    given = len(train_dirs) == 1 and len(train_dirs) + len(holdout_dirs) == len(folders)
    train = _files(train_dirs[0] if given else root)
    held = [entry for folder in holdout_dirs for entry in _files(folder)] if given else []
    entries = [*train, *held]
    shapes = [_read(path, data_dir, image_shape) for path, _ in entries]
    height, width, channels = target_shape(shapes, settings)
    pixels = np.empty((len(entries), height, width, channels), np.uint8)
    for index, (path, _) in enumerate(entries):
        pixels[index] = _read(path, data_dir, lambda data: decode_image(data, height, width, channels))
    flags = np.arange(len(entries)) >= len(train) if held else None
    return Labelled(pixels, [label for _, label in entries], flags)


def _root(folder: Path) -> Path:
    """The folder that holds the classes: people often pack one folder around them."""
    inner = list(_subfolders(folder))
    while len(inner) == 1 and list(_subfolders(inner[0])):
        folder = inner[0]
        inner = list(_subfolders(folder))
    return folder


def _files(root: Path) -> list[tuple[Path, str]]:
    """(path, label) of all images below the class folders of `root`."""
    entries = []
    for folder in _subfolders(root):
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not _hidden(path.relative_to(root)))
        if not files:
            raise invalid("data", f"{folder.name}/ holds no image", allowed="at least one image for each class")
        entries += [(path, folder.name) for path in files]
    if not entries:
        raise invalid("data", f"no folder of images in {root.name}/", allowed=LAYOUT)
    return entries


def _read(path: Path, data_dir: Path, reader: Callable[[bytes], T]) -> T:
    try:
        return reader(path.read_bytes())
    except ImageError as error:
        raise invalid("data", f"{path.relative_to(data_dir)}: {error.reason}") from None


def _subfolders(folder: Path) -> Iterator[Path]:
    yield from sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def _hidden(path: Path) -> bool:
    # Thumbs.db and desktop.ini are what Windows leaves in folders of pictures.
    return any(part.startswith(".") for part in path.parts) or path.name.lower() in {"thumbs.db", "desktop.ini"}
