"""Recipes are announced without torch, from committed schemas that say the same as the settings."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from lepton_core.errors import LeptonError
from lepton_trainer.recipes.catalogue import MAX_SCHEMA_BYTES, load_catalogue, read_entry
from lepton_trainer.recipes.generate import OURS, schema_text


@pytest.mark.parametrize("name", OURS)
def test_the_committed_schema_is_the_one_of_the_settings(name: str) -> None:
    settings = importlib.import_module(name)
    committed = read_entry(settings).schema
    assert committed == json.loads(schema_text(settings)), "run: python -m lepton_trainer.recipes.generate"
    assert len(schema_text(settings)) < MAX_SCHEMA_BYTES
    # A misspelt setting must be refused at submission.
    assert committed["additionalProperties"] is False


def test_the_catalogue_needs_no_torch() -> None:
    code = (
        "import sys; from lepton_trainer.recipes.catalogue import load_catalogue; names = sorted(load_catalogue());"
        "assert not {'torch', 'numpy', 'polars'} & set(sys.modules), sys.modules.keys(); print(names)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[('tabular', '1'), ('vision.classifier', '1')]"


def test_every_recipe_can_be_loaded_where_its_entry_says() -> None:
    for entry in load_catalogue().values():
        module, _, name = entry.entry.partition(":")
        assert getattr(importlib.import_module(module), name).settings_model.__name__ == "Settings"
        assert entry.title


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"properties": {"a": {"pattern": "(a+)+$"}}}, "pattern"),
        ({"properties": {"a": {"$ref": "https://example.com/schema.json"}}}, "leads elsewhere"),
        ({"description": "x" * MAX_SCHEMA_BYTES}, "bytes"),
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
