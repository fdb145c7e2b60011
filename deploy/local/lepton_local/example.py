"""`lepton example`: the sample data and job files of the documentation. Nothing is downloaded."""

import csv
import json
import shutil
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import as_file, files
from pathlib import Path

from lepton_core.errors import ErrorCode, LeptonError

SEED = 7
DIGITS_HELD_OUT = 360  # of 1,797; the other 1,437 are for training
TUMOURS_HELD_OUT = 114  # of 569


class Kind(StrEnum):
    DIGITS = "digits"
    TABULAR = "tabular"
    SCRIPT = "script"


@dataclass(frozen=True)
class Written:
    """The written files, and the commands to try next."""

    files: dict[str, str]
    next: list[str]


def write_example(kind: Kind, folder: Path) -> Written:
    """Writes an example below `folder`.

    Raises ALREADY_EXISTS instead of overwriting files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return {Kind.DIGITS: _digits, Kind.TABULAR: _tabular, Kind.SCRIPT: _script}[kind](folder)


def _digits(folder: Path) -> Written:
    """Images of handwritten digits, 8x8 grey, as `digits/<split>/<class>/<number>.png`."""
    from PIL import Image
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images = _fresh(folder / "digits")
    digits = load_digits()
    pixels = (digits.images * (255 / 16)).round().astype("uint8")
    numbers = range(len(pixels))
    train, test = train_test_split(numbers, test_size=DIGITS_HELD_OUT, stratify=digits.target, random_state=SEED)
    for split, members in (("train", train), ("test", test)):
        for number in members:
            image = images / split / str(digits.target[number]) / f"{number:04}.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[number]).save(image)
    seven = next(number for number in sorted(test) if digits.target[number] == 7)
    shutil.copyfile(images / "test" / "7" / f"{seven:04}.png", folder / "seven.png")
    _copy_sample("digits.yaml", folder)
    return Written(
        {
            str(images): f"{len(train)} images for training, {len(test)} held out",
            str(folder / "digits.yaml"): "the job",
            str(folder / "seven.png"): "a held-out 7",
        },
        [f"lepton data push digits {images}", f"lepton job submit {folder / 'digits.yaml'} --watch"],
    )


def _tabular(folder: Path) -> Written:
    """Measurements of tumours as `tumours/train.csv` and `tumours/test.csv`, and one row to predict."""
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    table = _fresh(folder / "tumours")
    data = load_breast_cancer()
    columns = [str(name).replace(" ", "_") for name in data.feature_names]
    rows = [
        [*map(float, values), str(data.target_names[label])]
        for values, label in zip(data.data, data.target, strict=True)
    ]
    train, test = train_test_split(rows, test_size=TUMOURS_HELD_OUT, stratify=data.target, random_state=SEED)
    for split, members in (("train", train), ("test", test)):
        with (table / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*columns, "diagnosis"])
            writer.writerows(members)
    row = dict(zip(columns, test[0][:-1], strict=True))
    (folder / "row.json").write_text(json.dumps(row, indent=2) + "\n")
    _copy_sample("tabular.yaml", folder)
    return Written(
        {
            str(table): f"{len(train)} rows for training, {len(test)} held out, target column `diagnosis`",
            str(folder / "tabular.yaml"): "the job",
            str(folder / "row.json"): f"a held-out row ({test[0][-1]})",
        },
        [f"lepton data push tumours {table}", f"lepton job submit {folder / 'tabular.yaml'} --watch"],
    )


def _script(folder: Path) -> Written:
    """A plain PyTorch program and its job file."""
    code = _fresh(folder / "script")
    _copy_sample("script/train.py", folder)
    _copy_sample("script.yaml", folder)
    return Written(
        {str(code): "a plain PyTorch program", str(folder / "script.yaml"): "the job"},
        [f"lepton job submit {folder / 'script.yaml'} --watch"],
    )


def _fresh(folder: Path) -> Path:
    if folder.exists():
        raise LeptonError(ErrorCode.ALREADY_EXISTS, f"{folder} already exists; use another folder or remove it")
    folder.mkdir()
    return folder


def _copy_sample(name: str, folder: Path) -> None:
    with as_file(files("lepton_local") / "samples" / name) as sample:
        shutil.copyfile(sample, folder / name)
