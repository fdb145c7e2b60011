"""Image folders: one folder for each class, optionally below train/ and test/. Images are recognised here by their
first bytes only; whether they can be decoded is found out when they are decoded.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lepton_core.data_layout.classes import require_trained, require_two_of_each
from lepton_core.data_layout.hidden import hidden
from lepton_core.data_layout.split_names import HOLDOUT_NAMES, TRAIN_NAMES, held_out
from lepton_core.errors import LeptonError, invalid

# A file, and its label.
Entry = tuple[Path, str]
# A file, and why it cannot be used.
BadFile = tuple[Path, str]

LAYOUT = "one folder of images for each class (optionally within train/ and test/), or .npz files"
PARTS = (
    f"a folder for each class, within folders named {' or '.join(sorted(TRAIN_NAMES))} to train on and "
    f"{', '.join(sorted(HOLDOUT_NAMES))} to hold out, and no other folder beside them"
)
LISTED_FILES = 20
NOT_AN_IMAGE = "not an image, by its first bytes"
# PNG, JPEG, BMP, GIF, TIFF, PPM. WEBP has its name behind a length.
_FIRST_BYTES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"GIF87a", b"GIF89a", b"II", b"MM", b"P")


@dataclass(frozen=True)
class ImageFolders:
    """The files to train on and, if the folders bring a split, those to hold out."""

    train: tuple[Entry, ...]
    holdout: tuple[Entry, ...]


def find_images(data_dir: Path) -> ImageFolders:
    """Every visible file below a class's folder. Raises INVALID for a layout that could mean two things."""
    train, holdout = _parts(_root(data_dir))
    return ImageFolders(tuple(train), tuple(holdout))


def check_image_folders(data_dir: Path) -> str:
    """A line about what was found. Raises INVALID for what the image classifier would refuse, as far as names, numbers
    and the first bytes of the files show it.
    """
    if data_dir.is_file() and data_dir.suffix.lower() != ".npz":
        raise invalid("data", "a single file is not a folder of images", data_dir.name, LAYOUT)
    if archives := [data_dir] if data_dir.is_file() else sorted(data_dir.glob("*.npz")):
        held_out([path.name for path in archives])
        return f"{len(archives)} NPZ files, whose arrays are checked by the run alone"
    found = find_images(data_dir)
    entries = [*found.train, *found.holdout]
    if bad := [(path, NOT_AN_IMAGE) for path, _ in entries if not _looks_like_image(path)]:
        raise bad_files(data_dir, bad)
    train, holdout = (Counter(label for _, label in part) for part in (found.train, found.holdout))
    labels = sorted({*train, *holdout})
    if len(labels) < 2:
        raise invalid("data", "all images have the same label", labels[0], "at least two classes")
    if found.holdout:
        require_trained(train, holdout)
        return f"{len(found.train)} images to train on, {len(found.holdout)} held out, {len(labels)} classes"
    require_two_of_each(train)
    return f"{len(found.train)} images, {len(labels)} classes; no folders for a split, so a share of each is held out"


def bad_files(data_dir: Path, bad: Sequence[BadFile]) -> LeptonError:
    """One error for all files that cannot be used, the first ones by name."""
    count = "1 file in the class folders is" if len(bad) == 1 else f"{len(bad)} files in the class folders are"
    return invalid(
        "data",
        f"{count} no image that can be read: {list_files(data_dir, bad)}",
        allowed="images alone in the folders of the classes; `on_bad: drop` under `train` passes over other files",
    )


def list_files(data_dir: Path, bad: Sequence[BadFile]) -> str:
    shown = "; ".join(f"{path.relative_to(data_dir).as_posix()}: {why}" for path, why in bad[:LISTED_FILES])
    return shown + (f"; and {len(bad) - LISTED_FILES} more" if len(bad) > LISTED_FILES else "")


def _looks_like_image(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(16)
    return start.startswith(_FIRST_BYTES) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")


def _root(folder: Path) -> Path:
    """The folder that holds the classes: people often pack one folder around them. A folder of held-out data alone is
    none of these."""
    inner = list(_subfolders(folder))
    while len(inner) == 1 and inner[0].name.lower() not in HOLDOUT_NAMES and list(_subfolders(inner[0])):
        folder = inner[0]
        inner = list(_subfolders(folder))
    return folder


def _parts(root: Path) -> tuple[list[Entry], list[Entry]]:
    """The images to train on and, if the folders bring a split, those to hold out.

    A part of a split is known by its name and by the folders in it: "train" beside "bus" may be a class of vehicles.
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
        return invalid(
            "data", f"named as part of a split, without a folder for each class: {_listed(bare)}", None, PARTS
        )
    if unknown := [folder for folder in folders if folder not in named]:
        message = f"in {_listed(parts)} are the folders of the classes, and no part of that split is {_listed(unknown)}"
        return invalid("data", message, None, PARTS)
    if not any(folder.name.lower() in TRAIN_NAMES for folder in parts):
        return invalid("data", f"named to be held out: {_listed(parts)}; no folder is to train on", None, PARTS)
    return None


def _listed(folders: Iterable[Path]) -> str:
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


def _subfolders(folder: Path) -> Iterator[Path]:
    yield from sorted(entry for entry in folder.iterdir() if entry.is_dir() and not hidden(Path(entry.name)))
