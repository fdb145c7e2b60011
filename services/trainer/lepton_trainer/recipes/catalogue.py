"""The recipes that this worker can run, found by the entry point `lepton.recipes`. Imports no torch.

An entry point names a recipe's settings module, which has NAME, VERSION, TITLE, RECIPE (the class to import later, as
"package.module:Class") and Settings. Beside it is schema.json, the committed JSON Schema of the settings.
"""

import importlib.metadata
import importlib.resources
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from lepton_core.api.limits import MAX_RECIPE_SCHEMA_BYTES
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import check_label

ENTRY_POINT_GROUP = "lepton.recipes"
SCHEMA_FILE = "schema.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecipeEntry:
    name: str
    version: str
    title: str
    schema: Mapping[str, Any]
    # "package.module:Class", imported only by the ranks
    entry: str


def load_catalogue() -> dict[tuple[str, str], RecipeEntry]:
    """Recipes by (name, version). A package that cannot be loaded is skipped and logged, and does not stop the
    worker."""
    found: dict[tuple[str, str], RecipeEntry] = {}
    for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP):
        try:
            entry = read_entry(point.load())
        except Exception as error:  # noqa: BLE001 - a third party's module may raise any error
            _log.error("recipe %s (%s) is skipped: %s", point.name, point.value, error)
            continue
        if (entry.name, entry.version) in found:
            _log.error("recipe %s (%s) is skipped: another package has the same recipe", point.name, point.value)
            continue
        found[entry.name, entry.version] = entry
    return found


def read_entry(settings: ModuleType) -> RecipeEntry:
    """The recipe of a settings module. Raises INVALID for a schema that the catalogue would refuse."""
    text = importlib.resources.files(settings.__package__ or "").joinpath(SCHEMA_FILE).read_bytes()
    if len(text) > MAX_RECIPE_SCHEMA_BYTES:
        raise LeptonError(ErrorCode.INVALID, f"{SCHEMA_FILE} has {len(text)} bytes; allowed: {MAX_RECIPE_SCHEMA_BYTES}")
    schema = json.loads(text)
    if problem := next(_problems(schema), None):
        raise LeptonError(ErrorCode.INVALID, f"{SCHEMA_FILE}: {problem}")
    name, version = check_label(settings.NAME, "NAME"), check_label(settings.VERSION, "VERSION")
    return RecipeEntry(name, version, settings.TITLE, schema, settings.RECIPE)


def _problems(node: Any) -> Iterator[str]:
    """Refuses patterns, which can take for ever, and external references, since other services use the schema."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("pattern", "patternProperties"):
                yield f"{key!r} is not allowed"
            if key == "$ref" and not str(value).startswith("#"):
                yield f"$ref {value!r} is external; only '#…' is allowed"
            yield from _problems(value)
    elif isinstance(node, list):
        for value in node:
            yield from _problems(value)
