"""Writes schema.json beside a recipe's settings: `python -m lepton_trainer.recipes.generate [module …]`.

The schema is committed, not made at the start: a newer pydantic could generate a different one for the same version.
"""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

from lepton_trainer.recipes.catalogue import SCHEMA_FILE

OURS = ("lepton_trainer.recipes.vision_classifier.settings", "lepton_trainer.recipes.tabular.settings")


def schema_text(settings: ModuleType) -> str:
    schema = settings.Settings.model_json_schema() | {"title": settings.NAME, "description": settings.TITLE}
    return json.dumps(schema, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> None:
    for name in sys.argv[1:] or OURS:
        settings = importlib.import_module(name)
        path = Path(str(settings.__file__)).with_name(SCHEMA_FILE)
        path.write_text(schema_text(settings), encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
