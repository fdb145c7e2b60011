"""The recipes that workers have announced, and the check of a job's settings against their schemas."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import orjson

from lepton_core.api import Recipe
from lepton_core.errors import ErrorCode, FieldError, LeptonError, field_error, invalid, shown
from lepton_core.validation import MAX_FIELD_ERRORS, summary, unknown_name
from lepton_gateway.registry import Registry

# How long an unpinned name is cached: a new version may take this long to be seen. A pinned version never changes.
NEWEST_TTL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class CompiledRecipe:
    name: str
    version: str
    schema: dict[str, Any]
    # Kept as JSON text, so that no two jobs share a mutable default.
    defaults: bytes
    validator: jsonschema_rs.Draft202012Validator

    def validated(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """`settings` with the schema's defaults filled in. Raises INVALID naming each wrong field."""
        problems = [found for error in self.validator.iter_errors(dict(settings)) for found in self._problems(error)]
        if problems:
            raise LeptonError(ErrorCode.INVALID, summary(problems), problems[:MAX_FIELD_ERRORS])
        return {**orjson.loads(self.defaults), **settings}

    def _problems(self, error: jsonschema_rs.ValidationError) -> list[FieldError]:
        known = self.schema.get("properties", {})
        unknown = getattr(error.kind, "unexpected", None)
        if unknown:
            return [unknown_name(("train", name), name, known) for name in unknown]
        missing = getattr(error.kind, "property", None)
        if missing:
            return [field_error(("train", missing), "required", "", describe(known.get(missing, {})))]
        part = known.get(str(error.instance_path[0]), {}) if error.instance_path else {}
        value = shown(error.instance) if error.instance_path else ""
        path = ("train", *error.instance_path)
        return [field_error(path, f"not allowed by {self.name}@{self.version}", value, describe(part))]


def describe(schema: Mapping[str, Any]) -> str:
    """What a property's schema allows, in words."""
    words = [str(schema["type"])] if "type" in schema else []
    if "enum" in schema:
        words.append("one of " + ", ".join(map(str, schema["enum"])))
    limits = (("exclusiveMinimum", ">"), ("minimum", ">="), ("exclusiveMaximum", "<"), ("maximum", "<="))
    words += [f"{sign} {schema[name]}" for name, sign in limits if name in schema]
    if "anyOf" in schema:
        words.append(" or ".join(filter(None, (describe(option) for option in schema["anyOf"]))))
    return " ".join(words)


class Catalogue:
    """Compiled schemas, by name and version. Safe to share between the three doors of one process."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._pinned: dict[tuple[str, str], CompiledRecipe] = {}
        # name → (newest version, when it was read). The newest version changes, so it is read again after a while.
        self._newest: dict[str, tuple[str, float]] = {}

    async def resolve(self, reference: str) -> CompiledRecipe:
        """The recipe for `name` (newest version) or `name@version`. Raises INVALID that lists the announced recipes."""
        name, _, version = reference.partition("@")
        if not version:
            seen = self._newest.get(name)
            if seen and time.monotonic() - seen[1] < NEWEST_TTL_SECONDS:
                return self._pinned[name, seen[0]]
        elif (name, version) in self._pinned:
            return self._pinned[name, version]
        recipe = await self._registry.get_recipe(name, version)
        if recipe is None:
            raise await self._unknown(reference)
        compiled = self._pinned.get((name, recipe.version)) or compile_recipe(recipe)
        self._pinned[name, recipe.version] = compiled
        if not version:
            self._newest[name] = (recipe.version, time.monotonic())
        return compiled

    async def _unknown(self, reference: str) -> LeptonError:
        known = sorted({f"{recipe.name}@{recipe.version}" for recipe in await self._registry.list_recipes()})
        return invalid(
            "recipe",
            "no worker has announced it",
            reference,
            ", ".join(known) or "nothing yet: no worker has announced a recipe (is a trainer running?)",
        )


def compile_recipe(recipe: Recipe) -> CompiledRecipe:
    schema = dict(recipe.schema)
    defaults = {name: part["default"] for name, part in schema.get("properties", {}).items() if "default" in part}
    validator = jsonschema_rs.Draft202012Validator(schema)
    return CompiledRecipe(recipe.name, recipe.version, schema, orjson.dumps(defaults), validator)
