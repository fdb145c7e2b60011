"""Image folders: one folder for each class, optionally below train/ and test/."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np

from lepton_core.errors import LeptonError, invalid
from lepton_core.model_format.images import ImageError, decode_image, image_shape
from lepton_trainer.recipes.splits import HOLDOUT_NAMES, TRAIN_NAMES
from lepton_trainer.recipes.unread import hidden
from lepton_trainer.recipes.vision_classifier.pixels import Labelled, target_shape
from lepton_trainer.recipes.vision_classifier.settings import Settings

T = TypeVar("T")
Entry = tuple[Path, str]

LAYOUT = "one folder of images for each class (optionally within train/ and test/), or .npz files"
PARTS = (
    f"a folder for each class, within folders named {' or '.join(sorted(TRAIN_NAMES))} to train on and "
    f"{', '.join(sorted(HOLDOUT_NAMES))} to hold out, and no other folder beside them"
)


def read_folders(data_dir: Path, settings: Settings) -> Labelled:
    """Every visible file below a class's folder must be an image: what is not is an error that names it."""
    train, held = _parts(_root(data_dir))
    entries = [*train, *held]
    shapes = [_read(path, data_dir, image_shape) for path, _ in entries]
    height, width, channels = target_shape(shapes, settings)
    pixels = np.empty((len(entries), height, width, channels), np.uint8)
    for index, (path, _) in enumerate(entries):
        pixels[index] = _read(path, data_dir, lambda data: decode_image(data, height, width, channels))
    flags = np.arange(len(entries)) >= len(train) if held else None
    return Labelled(pixels, [label for _, label in entries], flags, tuple(path for path, _ in entries))


def _root(folder: Path) -> Path:
    """The folder that holds the classes: people often pack one folder around them."""
    inner = list(_subfolders(folder))
    while len(inner) == 1 and list(_subfolders(inner[0])):
        folder = inner[0]
        inner = list(_subfolders(folder))
    return folder


def _parts(root: Path) -> tuple[list[Entry], list[Entry]]:
    """The images to train on and, if the folders bring a split, those to hold out.

    A part of a split is told by its name and by the folders in it: "train" beside "bus" may be a class of vehicles.
    """
    folders = list(_subfolders(root))
    named = [folder for folder in folders if folder.name.lower() in TRAIN_NAMES | HOLDOUT_NAMES]
    parts = [folder for folder in named if any(_subfolders(folder))]
    if not parts and (not folders or len(named) < len(folders)):
        return _files(root), []
    if problem := _split_problem(folders, named, parts):
        raise problem
    train = [entry for folder in parts if folder.name.lower() in TRAIN_NAMES for entry in _files(folder)]
    held = [entry for folder in parts if folder.name.lower() in HOLDOUT_NAMES for entry in _files(folder)]
    return train, held


def _split_problem(folders: list[Path], named: list[Path], parts: list[Path]) -> LeptonError | None:
    if bare := [folder for folder in named if folder not in parts]:
        return invalid("data", f"named as part of a split, without a folder for each class: {_told(bare)}", None, PARTS)
    if unknown := [folder for folder in folders if folder not in named]:
        message = f"in {_told(parts)} are the folders of the classes, and no part of that split is {_told(unknown)}"
        return invalid("data", message, None, PARTS)
    if not any(folder.name.lower() in TRAIN_NAMES for folder in parts):
        return invalid("data", f"{_told(parts)} are to hold out, and no folder is to train on", None, PARTS)
    return None


def _told(folders: Iterable[Path]) -> str:
    names = [f"{folder.name}/" for folder in folders]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _files(root: Path) -> list[Entry]:
    """(path, label) of all images below the class folders of `root`."""
    entries = []
    for folder in _subfolders(root):
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not hidden(path.relative_to(root)))
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
    yield from sorted(entry for entry in folder.iterdir() if entry.is_dir() and not hidden(Path(entry.name)))
