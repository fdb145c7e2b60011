"""The command that is printed beside a fresh deployment can be pasted."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from lepton.cli.snippets import command_to_try

ROW = {
    "input_kind": "row",
    "inputs": [{"name": "age", "shape": [-1, 1]}, {"name": "it's", "shape": [-1, 1]}, {"name": "n", "shape": [-1, 1]}],
    "steps": [
        {"op": "concatenate", "output": "numbers.raw", "inputs": ["age"]},
        {"op": "impute", "input": "numbers.raw", "output": "numbers.filled", "values": [41.5]},
        {"op": "lookup", "inputs": ["it's"], "output": "categories", "vocabularies": [["", "a b", "c"]]},
    ],
}


def test_a_row_is_one_of_usual_values_and_quoted_for_the_shell(tmp_path: Path) -> None:
    words = shlex.split(command_to_try("churn", ROW, {}, tmp_path))
    assert words[:4] == ["lepton", "predict", "churn", "--row"]
    assert json.loads(words[4]) == {"age": 41.5, "it's": "a b", "n": None}
    words = shlex.split(command_to_try("churn", ROW, {"data": {"usual": {"it's": "c"}}}, tmp_path))
    assert json.loads(words[4]) == {"age": 41.5, "it's": "c", "n": None}


def test_an_image_is_one_that_lies_here(tmp_path: Path) -> None:
    assert command_to_try("d", {"input_kind": "image"}, {}, tmp_path) == "lepton predict d --image IMAGE.png"
    (tmp_path / "my cat.JPG").touch()
    assert command_to_try("d", {"input_kind": "image"}, {}, tmp_path) == "lepton predict d --image 'my cat.JPG'"


def test_a_tensor_goes_by_http(tmp_path: Path) -> None:
    signature = {"input_kind": "tensor", "inputs": [{"name": "input", "shape": [-1, 2]}]}
    command = command_to_try("spirals", signature, {}, tmp_path)
    assert '{"instances": [[0, 0]]}' in command
    assert '-H "Content-Type: application/json"' in command
    assert command.endswith("$LEPTON_URL/v1/deployments/spirals:predict")
    signature["inputs"][0]["shape"] = [-1, 3, 224, 224]  # type: ignore[index]
    assert command_to_try("spirals", signature, {}, tmp_path) == ""
