"""The sample data that the documentation uses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image
from ruamel.yaml import YAML

from lepton_core.errors import LeptonError
from lepton_core.jobs.spec import parse_job
from lepton_local.example import Kind, write_example


@pytest.mark.parametrize("kind", list(Kind))
def test_every_job_file_is_a_valid_job(kind: Kind, tmp_path: Path) -> None:
    write_example(kind, tmp_path)
    job = parse_job(YAML(typ="safe").load((tmp_path / f"{kind}.yaml").read_text()))
    assert job.recipe or job.script


def test_digits_are_split_once_and_for_all(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        write_example(Kind.DIGITS, folder)
    paths = sorted(path.relative_to(first) for path in first.rglob("*.png"))
    assert len([path for path in paths if path.parts[1:2] == ("train",)]) == 1437
    assert len([path for path in paths if path.parts[1:2] == ("test",)]) == 360
    assert {path.parts[2] for path in paths if path.parts[1:2] == ("test",)} == set("0123456789")
    assert all((first / path).read_bytes() == (second / path).read_bytes() for path in paths)


def test_the_seven_is_a_held_out_image(tmp_path: Path) -> None:
    write_example(Kind.DIGITS, tmp_path)
    seven = (tmp_path / "seven.png").read_bytes()
    assert seven in {path.read_bytes() for path in (tmp_path / "digits/test/7").iterdir()}
    assert seven not in {path.read_bytes() for path in (tmp_path / "digits/train/7").iterdir()}
    with Image.open(tmp_path / "seven.png") as image:
        assert (image.size, image.mode) == ((8, 8), "L")
        assert image.getextrema() == (0, 255)


def test_the_row_to_predict_has_the_table_s_columns_without_the_target(tmp_path: Path) -> None:
    write_example(Kind.TABULAR, tmp_path)
    with (tmp_path / "tumours/train.csv").open() as file:
        reader = csv.DictReader(file)
        assert {row["diagnosis"] for row in reader} == {"malignant", "benign"}
    row = json.loads((tmp_path / "row.json").read_text())
    assert [*row, "diagnosis"] == reader.fieldnames


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    write_example(Kind.SCRIPT, tmp_path)
    with pytest.raises(LeptonError, match="already exists"):
        write_example(Kind.SCRIPT, tmp_path)
