"""`lepton model`: models, their versions and aliases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from lepton.cli import complete, render
from lepton.cli.key_names import KeyNames
from lepton.cli.session import Json, Quiet, connect
from lepton_core.api import Model, ModelVersion

app = typer.Typer(no_args_is_help=True)

Reference = Annotated[
    str,
    typer.Argument(
        help="name@champion (an alias), name@2, name@latest, an id or the beginning of one.",
        autocompletion=complete.model_versions,
        metavar="REFERENCE",
    ),
]
Name = Annotated[str, typer.Argument(help="Name of a model.", autocompletion=complete.models)]
SHOWN_LINES = 60


@app.command("ls")
def list_models(as_json: Json = False) -> None:
    """List the project's models."""
    with connect() as client:
        found = client.models.list()
    columns, empty = ("NAME", "#LATEST", "ALIASES", "SINCE"), "No models yet: a job with `register` makes one."
    rows = ((each.name, each.latest_version, _aliases(each), render.when(each.created_at_us)) for each in found)
    render.show(found, as_json, lambda: render.table(columns, rows, empty=empty))


@app.command()
def show(
    reference: Annotated[
        str,
        typer.Argument(
            help="A model's name, or one version: name@champion, name@2.", autocompletion=complete.model_versions
        ),
    ],
    as_json: Json = False,
) -> None:
    """Show a model with its versions, or one version with its metrics and files."""
    with connect() as client:
        if "@" in reference or reference.startswith("mv_"):
            version = client.models.version(reference)
            render.show(version, as_json, lambda: _version(version, KeyNames(client)))
            return
        model, versions = client.models.get(reference), client.models.versions(reference)
    listed = [each.model_dump(mode="json", exclude={"files", "card", "signature", "evaluation"}) for each in versions]
    value = {**model.model_dump(mode="json"), "versions": listed}
    columns = ("VERSION", "ALIASES", "RUN", "#SIZE", "MADE", "METRICS")
    render.show(
        value,
        as_json,
        lambda: Group(
            render.fields({"model": model.name, "aliases": _aliases(model), "description": model.description}),
            "",
            render.table(columns, map(_row, versions)),
        ),
    )


def _aliases(model: Model) -> str:
    return ", ".join(f"{alias.name} → {alias.version}" for alias in model.aliases)


def _row(version: ModelVersion) -> tuple[object, ...]:
    scores = [f"{name} {render.number(value)}" for name, value in version.metrics.items() if isinstance(value, float)]
    made = render.ago(version.created_at_us)
    aliases = ", ".join(version.aliases)
    return (version.version, aliases, version.run_id, render.size(version.bytes), made, ", ".join(scores[:4]))


def _version(version: ModelVersion, key_names: KeyNames) -> RenderableType:
    about = {
        "version": f"{version.model}@{version.version}",
        "id": version.id,
        "aliases": ", ".join(version.aliases),
        "run": version.run_id or "(imported)",
        "digest": version.digest,
        "bytes": render.size(version.bytes),
        "made": f"{render.when(version.created_at_us)} by {key_names.name(version.created_by)}",
        "card": _card(version),
    }
    scores = [(name, value) for name, value in version.metrics.items() if isinstance(value, int | float)]
    files = [(file.path, render.size(file.bytes), file.digest[:19]) for file in version.files]
    parts: list[RenderableType] = [render.fields(about)]
    if scores:
        parts += ["", render.table(("METRIC", "#VALUE"), scores)]
    if files:
        parts += ["", render.table(("FILE", "#SIZE", "DIGEST"), files)]
    return Group(*parts)


def _card(version: ModelVersion) -> str:
    """The card, without the fields that are shown elsewhere."""
    beside = (version.metrics, version.model, version.run_id)
    lines = render.outline({name: value for name, value in version.card.items() if value not in beside})
    more = [f"… {len(lines) - SHOWN_LINES} more lines: --json"] if len(lines) > SHOWN_LINES else []
    return "\n".join(lines[:SHOWN_LINES] + more)


@app.command()
def promote(
    reference: Reference,
    alias: Annotated[str, typer.Option("--alias", "-a", help="The alias to move.")] = "champion",
    expect: Annotated[
        int,
        typer.Option(
            "--expect", min=0, help="Move the alias only if it is at this version now; exit code 1 otherwise."
        ),
    ] = 0,
    as_json: Json = False,
) -> None:
    """Move an alias to a version. Deployments that follow it serve the version as soon as it is warm.

    Example: lepton model promote digits@2
    """
    with connect() as client:
        version = client.models.exact_version(reference)
        moved = client.models.promote(version, alias, expected_version=expect)
        serving = [] if as_json else [each for each in client.deployments.list() if each.model == version.model]
    lines = [f"{version.model}@{moved.name} is now version {moved.version}"]
    for each in serving:
        if each.alias == moved.name:
            lines.append(f"deployment {each.name} follows it")
        else:
            stays = f"follows {each.model}@{each.alias}" if each.alias else "is pinned to a version"
            command = f"lepton deploy follow {each.name} {alias}"
            lines.append(f"deployment {each.name} {stays} and does not change: {command}")
    document = {"model": version.model, **moved.model_dump(mode="json")}
    render.show(document, as_json, lambda: Text("\n".join(lines)))


@app.command()
def compare(
    references: Annotated[
        list[str], typer.Argument(help="Two or more versions.", autocompletion=complete.model_versions)
    ],
    as_json: Json = False,
) -> None:
    """Show the metrics of versions side by side.

    Example: lepton model compare digits@champion digits@latest
    """
    with connect() as client:
        found = client.models.compare(*references)
    rows = ((metric, *(values[reference] for reference in references)) for metric, values in found.items())
    columns = ("METRIC", *(f"#{reference}" for reference in references))
    render.show(found, as_json, lambda: render.table(columns, rows, empty="These versions have no metrics."))


@app.command()
def download(
    reference: Reference,
    folder: Annotated[Path | None, typer.Argument(help="The folder to write to. [default: NAME-VERSION]")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write a version's files into a folder, each verified by its SHA-256."""
    with connect() as client:
        version = client.models.version(reference)
        target = folder or Path(f"{version.model}-{version.version}")
        client.models.download(version.id, target, progress=not (quiet or as_json))
    summary = f"{version.model}@{version.version} in {target}"
    render.show({**version.model_dump(mode="json"), "folder": str(target)}, as_json, lambda: Text(summary))


@app.command()
def push(
    name: Name,
    folder: Annotated[
        Path, typer.Argument(help="The model package: a folder with model.onnx, signature.json and optional files.")
    ],
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Import a model made elsewhere as the next version. Each file's content must match the kind that its name says."""
    with connect() as client:
        version = client.models.push(name, folder, progress=not (quiet or as_json))
    render.show(version, as_json, lambda: Text(f"{version.model}@{version.version}  {version.id}"))
