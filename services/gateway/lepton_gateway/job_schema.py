"""The JSON Schema of a job file, with the settings of every announced recipe so that editors also complete `train:`."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from lepton_core.api import Recipe
from lepton_core.jobs.spec import job_schema


def schema_with_recipes(recipes: Sequence[Recipe]) -> dict[str, Any]:
    """`recipes` may be in any order; in a job, a name without a version means the newest version."""
    schema = copy.deepcopy(job_schema())
    newest = {recipe.name: recipe for recipe in sorted(recipes, key=lambda found: found.created_at_us)}
    settings = {f"{recipe.name}@{recipe.version}": recipe.schema for recipe in recipes}
    settings |= {name: recipe.schema for name, recipe in newest.items()}
    definitions = schema.setdefault("$defs", {})
    choices = []
    for reference, found in sorted(settings.items()):
        definitions[f"train {reference}"] = found
        choices.append(
            {
                "if": {"properties": {"recipe": {"const": reference}}, "required": ["recipe"]},
                "then": {"properties": {"train": {"$ref": f"#/$defs/train%20{reference}"}}},
            }
        )
    if choices:
        schema["allOf"] = choices
        schema["properties"]["recipe"]["examples"] = sorted(newest)
    return schema
