"""The command that asks a fresh deployment something, ready to be pasted."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"})
# Of a table's columns; a row of more would fill the screen.
MAX_COLUMNS = 60
MAX_TENSOR_VALUES = 64


def command_to_try(deployment: str, signature: Mapping[str, Any], card: Mapping[str, Any], folder: Path) -> str:
    """With an image of `folder`, or a row of what is usual in the training data; empty where none can be made up."""
    kind, inputs = signature.get("input_kind"), signature.get("inputs", [])
    if kind == "image":
        return f"lepton predict {deployment} --image {shlex.quote(_image(folder))}"
    if kind == "row":
        if len(inputs) > MAX_COLUMNS:
            return f"lepton predict {deployment} --rows rows.csv"
        row = json.dumps(_row(inputs, signature.get("steps", []), card), ensure_ascii=False)
        return f"lepton predict {deployment} --row {shlex.quote(row)}"
    if len(inputs) == 1 and _size(inputs[0]) <= MAX_TENSOR_VALUES:
        body = json.dumps({"instances": [_zeros(inputs[0]["shape"][1:])]})
        return (
            'eval "$(lepton login --export)" && curl -H "Authorization: Bearer $LEPTON_API_KEY" '
            '-H "Content-Type: application/json" '
            f"-d {shlex.quote(body)} $LEPTON_URL/v1/deployments/{deployment}:predict"
        )
    return ""


def _image(folder: Path) -> str:
    """The first picture that lies here; else a name that stands for one."""
    try:
        names = sorted(each.name for each in folder.iterdir() if each.suffix.lower() in IMAGE_SUFFIXES)
    except OSError:
        names = []
    return names[0] if names else "IMAGE.png"


def _row(inputs: list[dict[str, Any]], steps: list[dict[str, Any]], card: Mapping[str, Any]) -> dict[str, object]:
    data = card.get("data")
    told = data.get("usual") if isinstance(data, Mapping) else None
    usual = {**dict(_usual(steps)), **(told if isinstance(told, Mapping) else {})}
    return {each["name"]: usual.get(each["name"]) for each in inputs}


def _usual(steps: list[dict[str, Any]]) -> Iterator[tuple[str, object]]:
    """Column → what the preprocessing puts where a number is missing, or the first category that it knows.

    The card says which category is the most frequent; one of an imported model need not.
    """
    columns = {step["output"]: step["inputs"] for step in steps if step.get("op") == "concatenate"}
    for step in steps:
        if step.get("op") == "impute":
            yield from zip(columns.get(step["input"], [step["input"]]), step["values"], strict=False)
        elif step.get("op") == "lookup":
            for name, words in zip(step["inputs"], step["vocabularies"], strict=False):
                yield name, next(filter(None, words), None)


def _size(tensor: dict[str, Any]) -> int:
    size = 1
    for dimension in tensor["shape"][1:]:
        size *= max(dimension, 1)
    return size


def _zeros(shape: list[int]) -> Any:
    return [_zeros(shape[1:]) for _ in range(max(shape[0], 1))] if shape else 0
