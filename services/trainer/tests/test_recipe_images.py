"""What the image classifier makes of folders and NPZ files, and how it refuses what it cannot use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from lepton_core.errors import LeptonError
from lepton_trainer.recipes.vision_classifier.data import read_images
from lepton_trainer.recipes.vision_classifier.model import flip, shift
from lepton_trainer.recipes.vision_classifier.recipe import VisionClassifier
from lepton_trainer.recipes.vision_classifier.settings import Settings

DIGITS = load_digits()
PIXELS = np.rint(DIGITS.images * 255 / 16).astype(np.uint8)


def write(path: Path, pixels: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_a_folder_for_each_class(digits: Path) -> None:
    images = read_images(digits, Settings(holdout_fraction=0.25, seed=3))
    assert images.pixels.shape == (1797, 8, 8, 1)
    assert images.labels == tuple("0123456789")
    assert not set(images.train) & set(images.holdout)
    assert len(images.train) + len(images.holdout) == 1797
    shares = np.bincount(images.classes[images.holdout]) / np.bincount(images.classes)
    assert np.abs(shares - 0.25).max() < 0.01
    again = read_images(digits, Settings(holdout_fraction=0.25, seed=3))
    assert (again.holdout == images.holdout).all()
    other = read_images(digits, Settings(holdout_fraction=0.25, seed=4))
    assert not np.array_equal(other.holdout, images.holdout)


def test_a_split_that_the_data_brings_is_kept(tmp_path: Path) -> None:
    for number in range(40):
        part = "train" if number < 30 else "test"
        write(tmp_path / "packed" / part / str(DIGITS.target[number]) / f"{number}.png", PIXELS[number])
    (tmp_path / "packed" / "train" / "0" / ".DS_Store").write_bytes(b"left by a file manager")
    images = read_images(tmp_path, Settings())
    assert (len(images.train), len(images.holdout)) == (30, 10)
    assert images.split == "as the data brings it"


@pytest.mark.parametrize("held", ["dev", "eval", "Validation"])
def test_every_usual_name_of_a_split_counts(held: str, tmp_path: Path) -> None:
    for number in range(40):
        part = "train" if number < 30 else held
        write(tmp_path / part / str(DIGITS.target[number]) / f"{number}.png", PIXELS[number])
    images = read_images(tmp_path, Settings())
    assert images.labels == tuple("0123456789")
    assert (len(images.train), len(images.holdout)) == (30, 10)


@pytest.mark.parametrize(
    ("paths", "words"),
    [
        (("train/a", "train/b", "extra/a", "extra/b"), ("extra/", "train/", "dev, eval", "test")),
        (
            ("train/a", "train/b", "dev/a", "c"),
            ("in dev/, train/ are the folders of the classes, and no part of that split is c/",),
        ),
        (("train/a", "train/b", "test"), ("without a folder for each class: test/",)),
        (("train", "test"), ("without a folder for each class: test/, train/",)),
        (("dev/a", "dev/b", "test/a"), ("dev/, test/", "no folder is to train on")),
        (("test/a", "test/b"), ("test/", "no folder is to train on")),
    ],
)
def test_folders_that_are_no_part_of_a_split_are_named(
    paths: tuple[str, ...], words: tuple[str, ...], tmp_path: Path
) -> None:
    for path in paths:
        write(tmp_path / path / "1.png", PIXELS[0])
    refuse(tmp_path, *words)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for number in range(6):
        write(tmp_path / ("bus", "car", "train")[number % 3] / f"{number}.png", PIXELS[number])
    assert read_images(tmp_path, Settings()).labels == ("bus", "car", "train")


def test_the_log_names_the_classes_and_the_files_that_were_not_read(tmp_path: Path) -> None:
    for number in range(6):
        write(tmp_path / "train" / "ab"[number % 2] / f"{number}.png", PIXELS[number])
    notes = VisionClassifier(Settings()).prepare(tmp_path).notes
    assert notes[1:] == ("data: images of each class: a (3), b (3)",)
    for path in (".DS_Store", "train/stray.png", "notes.txt", "train/a/Thumbs.db", "train/b/desktop.ini"):
        (tmp_path / path).write_bytes(b"no image")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "._1.png").write_bytes(b"left by an archiver")
    notes = VisionClassifier(Settings()).prepare(tmp_path).notes
    assert "data: 6 files not read: notes.txt, train/stray.png, .DS_Store, " in notes[2]
    assert notes[2].endswith(" and 1 more")


@pytest.mark.parametrize("scale", ["bytes", "shares", "whole_numbers"])
def test_npz_arrays(scale: str, tmp_path: Path) -> None:
    arrays = {"bytes": PIXELS, "shares": (PIXELS / 255).astype(np.float32), "whole_numbers": PIXELS.astype(np.int64)}
    np.savez_compressed(tmp_path / "digits.npz", images=arrays[scale], labels=DIGITS.target)
    images = read_images(tmp_path, Settings())
    assert (images.pixels[..., 0] == PIXELS).all()
    assert images.labels == tuple("0123456789")


def test_npz_parts_and_text_labels(tmp_path: Path) -> None:
    names = np.array(["even", "odd"])[DIGITS.target % 2]
    np.savez(tmp_path / "train.npz", images=PIXELS[:100], labels=names[:100])
    np.savez(tmp_path / "test.npz", images=PIXELS[100:150], labels=names[100:150])
    images = read_images(tmp_path, Settings(image_size=16, channels="rgb"))
    assert images.pixels.shape == (150, 16, 16, 3)
    assert images.labels == ("even", "odd")
    assert len(images.holdout) == 50


def test_images_of_different_sizes_and_modes_get_one_shape(tmp_path: Path) -> None:
    for number in range(8):
        side = 8 + number
        pixels = np.full((side, side, 3) if number % 2 else (side, side), 40 * (number % 4), np.uint8)
        write(tmp_path / ("a" if number < 4 else "b") / f"{number}.{'png' if number % 2 else 'bmp'}", pixels)
    assert read_images(tmp_path, Settings()).pixels.shape == (8, 64, 64, 3)
    assert read_images(tmp_path, Settings(image_size=10, channels="gray")).pixels.shape == (8, 10, 10, 1)


def test_statistics_and_signature_describe_the_training_images(few_digits: Path) -> None:
    data = VisionClassifier(Settings()).prepare(few_digits)
    assert data.statistics["examples"] == len(data.train)
    assert sum(data.statistics["channels"][0]["histogram"]) == len(data.train) * 64
    batch = data.train.take(torch.arange(len(data.train)))
    assert abs(float(batch.inputs[0].mean())) < 1e-3
    assert data.signature.inputs[0].shape == (-1, 8, 8, 1)


def refuse(folder: Path, *words: str) -> None:
    with pytest.raises(LeptonError) as caught:
        read_images(folder, Settings())
    text = str(caught.value) + caught.value.fields[0].allowed
    for word in words:
        assert word in text


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    refuse(tmp_path, "no folder of images")
    write(tmp_path / "only" / "1.png", PIXELS[0])
    write(tmp_path / "only" / "2.png", PIXELS[1])
    refuse(tmp_path, "same label", "only")
    (tmp_path / "empty").mkdir()
    refuse(tmp_path, "empty/ holds no image")
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    refuse(tmp_path, "empty/notes.txt", "not an image")
    good = (tmp_path / "only" / "1.png").read_bytes()
    (tmp_path / "empty" / "notes.txt").rename(tmp_path / "empty" / "cut.png")
    (tmp_path / "empty" / "cut.png").write_bytes(good[: len(good) // 2])
    refuse(tmp_path, "empty/cut.png")


def test_all_files_that_are_no_images_are_named_at_once_or_dropped(tmp_path: Path) -> None:
    for number in range(12):
        write(tmp_path / "ab"[number % 2] / f"{number}.png", PIXELS[number])
    (tmp_path / "a" / "notes.txt").write_text("no image")
    good = (tmp_path / "b" / "1.png").read_bytes()
    (tmp_path / "b" / "cut.png").write_bytes(good[: len(good) // 2])
    refuse(tmp_path, "2 files in the class folders", "a/notes.txt: not an image", "b/cut.png: ", "on_bad: drop")
    images = read_images(tmp_path, Settings(on_bad="drop"))
    assert images.pixels.shape == (12, 8, 8, 1)
    assert {tuple(image.ravel().tolist()) for image in images.pixels} == {
        tuple(PIXELS[number].ravel().tolist()) for number in range(12)
    }
    assert (images.classes == [0] * 6 + [1] * 6).all()
    assert images.dropped == 2
    (note,) = images.notes
    assert note.startswith("data: 2 files dropped (on_bad: drop): a/notes.txt: not an image")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "cut.png").write_bytes(good[:40])
    with pytest.raises(LeptonError, match="class 'c' has no readable image"):
        read_images(tmp_path, Settings(on_bad="drop"))


def test_images_of_more_than_8_bits_are_scaled_and_faint_ones_are_named(tmp_path: Path) -> None:
    for number in range(8):
        shares = (PIXELS[number] / 255).astype(np.float32)
        write(tmp_path / "ab"[number % 2] / f"{number}.tiff", shares)
    images = read_images(tmp_path, Settings())
    assert {tuple(image.ravel().tolist()) for image in images.pixels} == {
        tuple(PIXELS[number].ravel().tolist()) for number in range(8)
    }
    assert images.notes == ()
    low = PIXELS[0].astype(np.uint16) + 300
    write(tmp_path / "a" / "low.tiff", low)
    (note,) = read_images(tmp_path, Settings()).notes
    assert note.startswith("data: 1 images lost what they show by scaling to 8 bits: a/low.tiff: its values 300 to")


def test_dropped_files_do_not_move_the_split(tmp_path: Path) -> None:
    for number in range(20):
        write(tmp_path / ("train" if number < 12 else "test") / "ab"[number % 2] / f"{number:02}.png", PIXELS[number])
    (tmp_path / "train" / "a" / "00.png").write_bytes(b"no image")
    images = read_images(tmp_path, Settings(on_bad="drop"))
    assert (len(images.train), len(images.holdout)) == (11, 8)


def test_files_of_float_and_of_sixteen_bits_keep_their_range_or_are_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ramp = np.arange(64).reshape(8, 8)
    for folder, level in (("dark", 0), ("light", 150)):
        (tmp_path / folder).mkdir()
        for number in range(4):
            values = (ramp + level + rng.integers(0, 40)).astype(np.uint16)
            Image.fromarray(values).save(tmp_path / folder / f"sixteen{number}.tif")
            Image.fromarray(values.astype(np.float32) / 255).save(tmp_path / folder / f"float{number}.tif")
    images = read_images(tmp_path, Settings())
    dark, light = (images.pixels[images.classes == place].mean() for place in (0, 1))
    assert (dark < 80, light > 150, images.notes) == (True, True, ())
    Image.fromarray((ramp * 5).astype(np.uint16)).save(tmp_path / "dark" / "dim.tif")
    (note,) = read_images(tmp_path, Settings()).notes
    assert note.startswith(
        "data: 1 images lost what they show by scaling to 8 bits: dark/dim.tif: its values 0 to 315 become 0"
    )


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": PIXELS}, "labels"),
        ({"images": PIXELS, "labels": DIGITS.target[:-1]}, "1796"),
        ({"images": PIXELS[0], "labels": DIGITS.target[:8]}, "shape [8, 8]"),
        ({"images": PIXELS.astype(float) - 1, "labels": DIGITS.target}, "image 0"),
        ({"images": np.full((2, 4, 4), np.nan), "labels": [0, 1]}, "nan"),
        ({"images": PIXELS, "labels": DIGITS.target + 0.5}, "float64"),
        ({"images": np.array([{"a": 1}], dtype=object), "labels": [0]}, "not a readable NPZ"),
    ],
)
def test_npz_files_that_cannot_be_used(arrays: dict[str, Any], words: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "digits.npz", **arrays)
    refuse(tmp_path, "digits.npz", words)


def test_an_npz_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "digits.npz").write_bytes(b"\x80\x04no zip at all")
    refuse(tmp_path, "digits.npz", "not a readable NPZ")


def test_augmentation_moves_and_mirrors() -> None:
    torch.manual_seed(0)
    images = torch.zeros(64, 2, 8, 8)
    images[:, 0, 3, 4], images[:, 1, 0, 0] = 1, 2
    moved = shift(images, 1)
    assert moved.shape == images.shape
    assert (moved[:, 0].sum((1, 2)) == 1).all()
    places = {(int(row), int(column)) for _, row, column in moved[:, 0].nonzero()}
    assert places == {(row, column) for row in (2, 3, 4) for column in (3, 4, 5)}
    mirrored = flip(images)
    assert {int(column) for _, _, column in mirrored[:, 0].nonzero()} == {3, 4}
