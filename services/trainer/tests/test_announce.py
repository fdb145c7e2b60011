"""What a worker says about itself when it registers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lepton_core.ids import digest_of
from lepton_trainer.recipes.catalogue import load_catalogue
from lepton_trainer.settings import TrainerSettings
from lepton_trainer.worker.announce import announcement, count_gpus


def settings(folder: Path, **more: object) -> TrainerSettings:
    values = {"home": folder, "registry_address": "127.0.0.1:1", "pool_token_file": folder / "token"}
    return TrainerSettings.model_validate(values | more)


@pytest.mark.parametrize(
    ("visible", "counted"),
    [(None, 2), ("", 0), ("-1", 0), ("0", 1), ("1,0", 2), ("0,1,2,3", 2), ("GPU-8f3a,", 1)],
)
def test_gpus_are_counted_by_their_devices_and_by_what_programs_may_see(
    tmp_path: Path, visible: str | None, counted: int
) -> None:
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert count_gpus({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}, tmp_path) == counted


def test_each_recipe_is_announced_with_its_schema_and_the_digest_of_it(tmp_path: Path) -> None:
    announced = announcement(settings(tmp_path, max_ranks=3), "wrk_1", 7, load_catalogue())
    assert (announced.worker_id, announced.incarnation, announced.max_ranks) == ("wrk_1", 7, 3)
    assert {recipe.name for recipe in announced.recipes} >= {"vision.classifier", "tabular"}
    for recipe in announced.recipes:
        assert json.loads(recipe.schema)["type"] == "object"
        assert recipe.schema_digest == digest_of(recipe.schema.encode())


@pytest.mark.parametrize(
    ("accepts", "run_as", "isolates"), [(True, "", False), (True, "games", True), (False, "games", False)]
)
def test_only_a_worker_that_runs_scripts_as_another_user_isolates_them(
    tmp_path: Path, accepts: bool, run_as: str, isolates: bool
) -> None:
    announced = announcement(settings(tmp_path, accepts_scripts=accepts, run_as=run_as), "wrk_1", 1, {})
    assert (announced.accepts_scripts, announced.isolates_scripts) == (accepts, isolates)
