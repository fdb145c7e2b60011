"""The command that is printed beside a fresh deployment can be pasted."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

from lepton.cli.snippets import command_to_try


def signature(kind: str, *inputs: tuple[str, str, list[int]], **more: Any) -> dict[str, Any]:
    tensors = [{"name": name, "datatype": datatype, "shape": shape} for name, datatype, shape in inputs]
    return {"input_kind": kind, "inputs": tensors, "model_inputs": tensors, "outputs": tensors, **more}


ROW = signature(
    "row",
    ("age", "FP64", [-1, 1]),
    ("it's", "BYTES", [-1, 1]),
    ("n", "FP64", [-1, 1]),
    steps=[
        {"op": "concatenate", "output": "numbers.raw", "inputs": ["age"]},
        {"op": "impute", "input": "numbers.raw", "output": "numbers.filled", "values": [41.5]},
        {"op": "lookup", "inputs": ["it's"], "output": "categories", "vocabularies": [["", "a b", "c"]]},
    ],
)
IMAGE = signature("image", ("image", "UINT8", [-1, 8, 8, 1]), labels=["cat", "dog"])


def test_a_row_is_one_of_usual_values_and_quoted_for_the_shell(tmp_path: Path) -> None:
    words = shlex.split(command_to_try("churn", ROW, {}, tmp_path))
    assert words[:4] == ["lepton", "predict", "churn", "--row"]
    assert json.loads(words[4]) == {"age": 41.5, "it's": "a b", "n": None}
    words = shlex.split(command_to_try("churn", ROW, {"data": {"usual": {"it's": "c"}}}, tmp_path))
    assert json.loads(words[4]) == {"age": 41.5, "it's": "c", "n": None}


def test_many_columns_come_from_a_file_that_has_them_or_from_nowhere(tmp_path: Path) -> None:
    wide = signature("row", *((f"c{place}", "FP64", [-1, 1]) for place in range(100)))
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    assert command_to_try("wide", wide, {}, tmp_path) == ""
    (tmp_path / "rows.csv").write_text(";".join(f"c{place}" for place in range(101)) + "\n")
    assert command_to_try("wide", wide, {}, tmp_path) == "lepton predict wide --rows rows.csv"


def test_an_image_is_one_that_lies_here_or_below_the_name_of_a_label(tmp_path: Path) -> None:
    (tmp_path / "not really.png").write_text("hello")
    assert command_to_try("d", IMAGE, {}, tmp_path) == ""
    for folder in ("bird", "dog"):
        (tmp_path / "pets" / "test" / folder).mkdir(parents=True)
        (tmp_path / "pets" / "test" / folder / "1.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    assert command_to_try("d", IMAGE, {}, tmp_path) == "lepton predict d --image pets/test/dog/1.jpg"
    (tmp_path / "my cat").write_bytes(b"\x89PNG\r\n")
    assert command_to_try("d", IMAGE, {}, tmp_path) == "lepton predict d --image 'my cat'"


def test_tensors_and_texts(tmp_path: Path) -> None:
    flat = signature("tensor", ("input", "FP32", [-1, 2]))
    assert command_to_try("spirals", flat, {}, tmp_path) == "lepton predict spirals --tensor '[0, 0]'"
    two = signature("tensor", ("a", "FP32", [-1, 2]), ("b", "BOOL", [-1]))
    assert json.loads(shlex.split(command_to_try("two", two, {}, tmp_path))[4]) == {"a": [0, 0], "b": False}
    large = signature("tensor", ("input", "FP32", [-1, 3, 224, 224]))
    assert command_to_try("large", large, {}, tmp_path) == ""
    text = signature("text", ("text", "BYTES", [-1]))
    assert command_to_try("mood", text, {}, tmp_path).startswith("lepton predict mood --text '")


def test_a_signature_of_a_newer_platform_has_no_example(tmp_path: Path) -> None:
    for unknown in ({**ROW, "input_kind": "smell"}, {**ROW, "format": 2}, {}):
        assert command_to_try("d", unknown, {}, tmp_path) == ""
