"""Recipes are announced without torch, from committed schemas that say the same as the settings."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lepton_core.api.limits import MAX_RECIPE_SCHEMA_BYTES
from lepton_core.errors import LeptonError
from lepton_trainer.recipes.catalogue import load_catalogue, read_entry
from lepton_trainer.recipes.generate import OURS, schema_text


@pytest.mark.parametrize("name", OURS)
def test_the_committed_schema_is_the_one_of_the_settings(name: str) -> None:
    settings = importlib.import_module(name)
    committed = read_entry(settings).schema
    assert committed == json.loads(schema_text(settings)), "run: python -m lepton_trainer.recipes.generate"
    assert len(schema_text(settings)) < MAX_RECIPE_SCHEMA_BYTES
    # A misspelt setting must be refused at submission.
    assert committed["additionalProperties"] is False


def test_the_catalogue_needs_no_torch() -> None:
    code = (
        "import sys; from lepton_trainer.recipes.catalogue import load_catalogue; names = sorted(load_catalogue());"
        "assert not {'torch', 'numpy', 'polars'} & set(sys.modules), sys.modules.keys(); print(names)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[('tabular', '2'), ('vision.classifier', '2')]"


def test_every_recipe_can_be_loaded_where_its_entry_says() -> None:
    for entry in load_catalogue().values():
        module, _, name = entry.entry.partition(":")
        assert getattr(importlib.import_module(module), name).settings_model.__name__ == "Settings"
        assert entry.title


def test_every_recipe_has_the_same_files() -> None:
    for entry in load_catalogue().values():
        folder = Path(str(importlib.import_module(entry.entry.partition(":")[0]).__file__)).parent
        for name in ("settings.py", "data.py", "model.py", "recipe.py", "schema.json"):
            assert (folder / name).is_file(), f"{entry.name} has no {name}"


def test_a_package_adds_a_recipe_by_its_entry_point_and_a_broken_one_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    package = tmp_path / "their_recipe"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "settings.py").write_text("NAME, VERSION, TITLE, RECIPE = 'their.recipe', '7', 'Theirs', 'their:Recipe'")
    (package / "schema.json").write_text('{"type": "object"}')
    installed = tmp_path / "their_recipe-7.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: their-recipe\nVersion: 7\n")
    (installed / "entry_points.txt").write_text(
        "[lepton.recipes]\ntheir.recipe = their_recipe.settings\nbroken = their_recipe.nothing\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = load_catalogue()
    assert found["their.recipe", "7"].entry == "their:Recipe"
    assert sorted(found) == [("tabular", "2"), ("their.recipe", "7"), ("vision.classifier", "2")]
    assert "recipe broken (their_recipe.nothing) is skipped" in caplog.text


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"properties": {"a": {"pattern": "(a+)+$"}}}, "pattern"),
        ({"properties": {"a": {"$ref": "https://example.com/schema.json"}}}, "is external"),
        ({"description": "x" * MAX_RECIPE_SCHEMA_BYTES}, "bytes"),
    ],
)
def test_schemas_that_could_harm_other_services_are_refused(
    schema: dict[str, object], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "rogue_recipe"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "settings.py").write_text("NAME, VERSION, TITLE, RECIPE = 'rogue', '1', 'Rogue', 'rogue:Rogue'")
    (package / "schema.json").write_text(json.dumps(schema))
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("rogue_recipe", "rogue_recipe.settings"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    settings: ModuleType = importlib.import_module("rogue_recipe.settings")
    with pytest.raises(LeptonError, match=words):
        read_entry(settings)
