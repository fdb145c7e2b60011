"""Data is checked before it is sent, by the rules that the recipes read by."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from lepton_core.data_layout.checks import check_data
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.model_format.images import FORMATS, decode_image


def image(path: Path, form: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), "red").save(path, form)
    return path


def refused(recipe: str, path: Path) -> str:
    with pytest.raises(LeptonError) as caught:
        check_data(recipe, path)
    return str(caught.value)


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_that_is_read_passes_the_check(form: str, tmp_path: Path) -> None:
    for name in ("a/1", "a/2", "b/1", "b/2"):
        image(tmp_path / name, form)
    assert check_data("vision.classifier", tmp_path).startswith("4 images, 2 classes")
    data = io.BytesIO((tmp_path / "a" / "1").read_bytes())
    assert decode_image(data.getvalue(), 4, 4, 3).shape == (4, 4, 3)


def test_all_files_that_are_no_images_are_named_at_once(tmp_path: Path) -> None:
    for number in range(30):
        image(tmp_path / "a" / f"{number}.png")
        image(tmp_path / "b" / f"{number}.png")
        (tmp_path / "a" / f"note{number:02}.txt").write_text("no image")
    (tmp_path / "a" / ".DS_Store").write_bytes(b"left by a file manager")
    text = refused("vision.classifier", tmp_path)
    assert "30 files in the class folders are no image" in text
    assert "a/note00.txt: not an image" in text
    assert "a/note19.txt" in text
    assert "and 10 more" in text
    assert "on_bad: drop" in text


def test_a_split_and_the_number_of_examples_are_checked(tmp_path: Path) -> None:
    image(tmp_path / "train" / "a" / "1.png")
    image(tmp_path / "train" / "b" / "1.png")
    image(tmp_path / "test" / "a" / "1.png")
    assert check_data("vision.classifier", tmp_path) == "2 images to train on, 1 held out, 2 classes"
    image(tmp_path / "test" / "c" / "1.png")
    assert "without a training example: class 'c'" in refused("vision.classifier", tmp_path)
    image(tmp_path / "test2" / "a" / "1.png")
    assert "no part of that split is test2/" in refused("vision.classifier", tmp_path)
    assert "only one example: 'a'" in refused("vision.classifier", tmp_path / "train")


def test_tables_are_checked_by_rows_columns_and_names(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("x,y\n1,a\n2,b\n")
    (tmp_path / "test.csv").write_text("y,x\na,1\n")
    assert check_data("tabular", tmp_path) == "3 rows in 2 CSV files; 1 of the files are held out"
    assert check_data("tabular", tmp_path / "train.csv").startswith("2 rows in 1 CSV files; a share")
    (tmp_path / "other.csv").write_text("x,y\n1,a\n")
    (tmp_path / "train.csv").rename(tmp_path / "more.csv")
    assert "for no part of a split" in refused("tabular", tmp_path)
    (tmp_path / "test.csv").write_text("x,z\n1,a\n")
    assert "more.csv and other.csv differ" not in refused("tabular", tmp_path)
    (tmp_path / "test.csv").unlink()
    (tmp_path / "other.csv").write_text("x,y\n1\n")
    assert "other.csv, row 1 (line 2) has 1 value" in refused("tabular", tmp_path)
    (tmp_path / "other.csv").write_text("x,z\n1,2\n")
    assert "other.csv and more.csv differ in column 'y'" in refused("tabular", tmp_path)


def test_what_cannot_be_checked(tmp_path: Path) -> None:
    assert "tabular or vision.classifier" in refused("audio", tmp_path)
    with pytest.raises(LeptonError) as caught:
        check_data("tabular", tmp_path / "nowhere")
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert "no table in the data" in refused("tabular", tmp_path)
    assert "no folder of images" in refused("vision.classifier", tmp_path)
