"""`lepton recipe`: the training recipes of the platform."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Group

from lepton.cli import complete, render
from lepton.cli.session import Json, connect
from lepton_core.api import Recipe
from lepton_core.errors import ErrorCode, LeptonError

app = typer.Typer(no_args_is_help=True)

BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


@app.command("ls")
def list_recipes(as_json: Json = False) -> None:
    """List the recipes that the platform's workers can train."""
    with connect() as client:
        found = client.recipes()
    rows = ((each.name, each.version, each.title) for each in found)
    empty = "No worker has announced a recipe yet: lepton doctor"
    render.show(found, as_json, lambda: render.table(("RECIPE", "VERSION", "WHAT"), rows, empty=empty))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="name, or name@version", autocompletion=complete.recipes)],
    as_json: Json = False,
) -> None:
    """Show the settings of a recipe, which go under `train` in a job file. With --json, their JSON Schema."""
    base, _, version = name.partition("@")
    with connect() as client:
        found = [each for each in client.recipes() if each.name == base and version in ("", each.version)]
        if not found:
            known = ", ".join(sorted({each.name for each in client.recipes()})) or "none: is a worker running?"
            raise LeptonError(ErrorCode.NOT_FOUND, f"no recipe {name!r}; there is {known}")
    recipe = max(found, key=lambda each: each.created_at_us)
    columns = ("SETTING", "TYPE", "DEFAULT", "MEANING")
    render.show(
        recipe,
        as_json,
        lambda: Group(
            render.fields({"recipe": f"{recipe.name}@{recipe.version}", "what": recipe.title}),
            "",
            render.table(columns, _settings(recipe)),
        ),
    )


def _settings(recipe: Recipe) -> list[tuple[str, ...]]:
    schema: dict[str, Any] = recipe.model_dump()["schema"]
    required = schema.get("required", [])
    return [
        (
            name,
            kind(setting, schema.get("$defs", {})),
            "required" if name in required else json.dumps(setting.get("default"), ensure_ascii=False),
            str(setting.get("description", "")),
        )
        for name, setting in schema.get("properties", {}).items()
    ]


def kind(setting: dict[str, Any], definitions: dict[str, Any]) -> str:
    """The type of a setting as text: `integer ≥ 1`, `"a" | "b"`, `number | null`."""
    if "$ref" in setting:
        return kind(definitions.get(str(setting["$ref"]).rpartition("/")[2], {}), definitions)
    if "enum" in setting or "const" in setting:
        return " | ".join(json.dumps(each) for each in setting.get("enum", [setting.get("const")]))
    choices = setting.get("anyOf") or setting.get("oneOf")
    if choices:
        return " | ".join(kind(each, definitions) for each in choices)
    bounds = [f"{sign} {setting[name]}" for name, sign in BOUNDS.items() if name in setting]
    inner = f" of {kind(setting['items'], definitions)}" if isinstance(setting.get("items"), dict) else ""
    return " ".join((str(setting.get("type", "any")) + inner, ", ".join(bounds))).strip()
