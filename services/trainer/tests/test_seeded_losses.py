"""Seeded trainings give the losses that were recorded in `data/seeded_losses.json`, step by step.

One thread and deterministic kernels make a loss the same on one kind of processor. Another one may round the last bits
differently, so the comparison is exact only on a machine whose first recorded loss is met exactly.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from lepton_core.workspace_files import Workspace
from lepton_trainer.recipes.tabular.recipe import Tabular
from lepton_trainer.recipes.tabular.settings import Settings as TabularSettings
from lepton_trainer.recipes.vision_classifier.recipe import VisionClassifier
from lepton_trainer.recipes.vision_classifier.settings import Settings as VisionSettings
from lepton_trainer.training.process_group import ProcessGroup
from lepton_trainer.training.trainer import Trainer

RECORDED = Path(__file__).with_name("seeded_losses.json")
ALONE = ProcessGroup(rank=0, world_size=1, local_rank=0, device=torch.device("cpu"), backend="", threads=1)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write_rows(folder: Path) -> Path:
    """120 rows: two numbers, one category, a class and a quantity that depend on them."""
    folder.mkdir()
    with (folder / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "b", "colour", "kind", "amount"])
        for row in range(120):
            a, b, colour = (row * 37) % 101 / 10, (row * 53) % 89 / 7, ("red", "green", "blue")[row % 3]
            writer.writerow([a, b, colour, "high" if a + b > 11 else "low", 3 * a - b + (row % 3) + 0.25])
    return folder


def recipes(few_digits: Path, rows: Path) -> dict[str, tuple[Any, Path]]:
    common: dict[str, Any] = {"epochs": 3, "batch_size": 32, "seed": 7, "metrics_every_steps": 1}
    return {
        "images": (VisionClassifier(VisionSettings(width=4, augment="shift", **common)), few_digits),
        "classes": (Tabular(TabularSettings(target="kind", ignore=("amount",), **common)), rows),
        "quantity": (Tabular(TabularSettings(target="amount", task="regression", **common)), rows),
    }


@pytest.mark.parametrize("name", ["images", "classes", "quantity"])
def test_losses_and_metrics_are_those_that_were_recorded(
    name: str, few_digits: Path, tmp_path: Path, points: Any
) -> None:
    recipe, folder = recipes(few_digits, write_rows(tmp_path / "rows"))[name]
    workspace = Workspace(tmp_path / "run")
    evaluation = Trainer(recipe, recipe.prepare(folder), ALONE, workspace).run()
    losses = [value for _, value in sorted(points(workspace, "loss").items())]
    given = {"losses": losses, "metrics": evaluation.metrics, "score": evaluation.score}
    expected = json.loads(RECORDED.read_bytes())[name]
    exact = losses[0] == expected["losses"][0]
    assert losses == (expected["losses"] if exact else pytest.approx(expected["losses"], rel=1e-4))
    assert given["metrics"] == (expected["metrics"] if exact else pytest.approx(expected["metrics"], rel=1e-3))
    assert given["score"] == (expected["score"] if exact else pytest.approx(expected["score"], rel=1e-3))
