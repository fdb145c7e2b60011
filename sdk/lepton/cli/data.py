"""`lepton data`: datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.text import Text

from lepton.cli import complete, render
from lepton.cli.key_names import KeyNames
from lepton.cli.session import Json, Quiet, connect
from lepton_core.plain_text import plain

app = typer.Typer(no_args_is_help=True)

Reference = Annotated[
    str,
    typer.Argument(
        help="name, name@latest, name@3, name@sha256:…, an id or the beginning of one.",
        autocompletion=complete.datasets,
        metavar="REFERENCE",
    ),
]
SHOWN_FILES = 20
SHOWN_FOLDERS = 10


@app.command()
def push(
    name: Annotated[
        str, typer.Argument(help="Name of the dataset; it is made if there is none.", autocompletion=complete.datasets)
    ],
    path: Annotated[Path, typer.Argument(help="A folder, or one file.")],
    message: Annotated[str, typer.Option("--message", "-m", help="Description of the change.")] = "",
    check: Annotated[
        str,
        typer.Option(
            "--check",
            help="Name of a recipe; if it would refuse the data, nothing is sent.",
            autocompletion=complete.checks,
            metavar="RECIPE",
        ),
    ] = "",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make a version of a dataset from a folder.

    Only files that the platform does not have are sent. The same files give the same version. Files and folders whose
    name begins with a dot, and `__pycache__`, are left out.

    Examples: lepton data push digits digits/ -m "first scans" · lepton data push cats cats/ --check vision.classifier
    """
    with connect() as client:
        pushed = client.datasets.push_reported(
            name, path, message=message, check=check, progress=not (quiet or as_json)
        )
    version = pushed.version
    if pushed.checked:
        typer.echo(f"check: {plain(pushed.checked)}", err=True)
    pushed_as = f"{version.dataset}@{version.version}"
    summary = f"{pushed_as}  {render.count(version.files, 'file')}, {render.size(version.bytes)}"
    news = f"; {render.size(pushed.sent_bytes)} sent" if pushed.sent_bytes else "; all files were there already"
    same = "" if pushed.created else " (the latest version has the same files)"
    value = {**version.model_dump(mode="json"), "created": pushed.created, "sent_bytes": pushed.sent_bytes}
    value["empty_folders"] = list(pushed.empty_folders)
    render.show(value, as_json, lambda: Text(summary + news + same))
    if pushed.empty_folders and not as_json:
        names = [f"{plain(name)}/" for name in pushed.empty_folders[:SHOWN_FOLDERS]]
        more = len(pushed.empty_folders) - len(names)
        rest = f" and {more} more" if more else ""
        typer.echo(f"warning: no files in {', '.join(names)}{rest}: empty folders are not part of a version", err=True)


@app.command()
def pull(
    reference: Reference,
    folder: Annotated[Path | None, typer.Argument(help="The folder to write to. [default: the dataset's name]")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write the files of a version into a folder, each verified by its SHA-256.

    Files that already have the right content are not fetched again. Nothing is deleted.
    """
    target = folder or Path(reference.partition("@")[0])
    with connect() as client:
        version = client.datasets.pull(reference, target, progress=not (quiet or as_json))
    summary = f"{version.dataset}@{version.version}: {render.count(version.files, 'file')} in {target}"
    render.show({**version.model_dump(mode="json"), "folder": str(target)}, as_json, lambda: Text(summary))


@app.command("ls")
def list_datasets(as_json: Json = False) -> None:
    """List the project's datasets."""
    with connect() as client:
        found = client.datasets.list()
    rows = ((each.name, each.latest_version, render.when(each.created_at_us), each.description) for each in found)
    columns = ("NAME", "#LATEST", "SINCE", "DESCRIPTION")
    empty = "No datasets yet: lepton data push NAME FOLDER"
    render.show(found, as_json, lambda: render.table(columns, rows, empty=empty))


@app.command()
def show(
    reference: Reference,
    files: Annotated[bool, typer.Option("--files", help="Show all files, not only the first ones.")] = False,
    as_json: Json = False,
) -> None:
    """Show a version: digest, size and files, and the dataset's other versions."""
    with connect() as client:
        version = client.datasets.version(reference)
        others = client.datasets.versions(version.dataset)
        entries = client.datasets.files(version, limit=None if files else SHOWN_FILES)
        made_by = version.created_by if as_json else KeyNames(client).name(version.created_by)
    value = {**version.model_dump(mode="json"), "versions": [each.version for each in others]}
    if files:
        value["file_list"] = [entry.model_dump() for entry in entries]
    about = {
        "version": f"{version.dataset}@{version.version}",
        "id": version.id,
        "digest": version.digest,
        "files": version.files,
        "bytes": render.size(version.bytes),
        "message": version.message,
        "made": f"{render.when(version.created_at_us)} by {made_by}",
        "versions": ", ".join(str(each.version) for each in others),
    }
    rows = [(entry.path, render.size(entry.bytes), entry.digest[:19]) for entry in entries]
    if version.files > len(entries):
        rows.append((f"… {version.files - len(entries)} more: --files", "", ""))
    columns = ("FILE", "#SIZE", "DIGEST")
    render.show(value, as_json, lambda: Group(render.fields(about), "", render.table(columns, rows)))
