"""`lepton deploy`: serving models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, Group
from rich.text import Text
from typer.core import TyperGroup

from lepton.cli import complete, render
from lepton.cli.key_names import KeyNames
from lepton.cli.session import Json, connect
from lepton.cli.snippets import command_to_try
from lepton_core.api import Deployment, Revision
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.validation import near_matches

if TYPE_CHECKING:
    from lepton.client import Client


class CreateByDefault(TyperGroup):
    """`lepton deploy digits digits@champion` means `lepton deploy create digits digits@champion`.

    Only if an argument is a reference to a model version, so that a mistyped command does not deploy anything.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and any("@" in each or each.startswith("mv_") for each in args[1:]):
            args.insert(0, "create")
        elif args and not args[0].startswith("-") and not near_matches(args[0], self.commands, cutoff=0.7):
            ctx.fail(f"No such command {args[0]!r}. To serve a model, name its version or alias: NAME MODEL@latest")
        return super().parse_args(ctx, args)


app = typer.Typer(cls=CreateByDefault, no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of a deployment.", autocompletion=complete.deployments)]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Do not wait until the model is served.")]
Timeout = Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait until the model is served.")]


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="Name of the deployment.")],
    model: Annotated[
        str,
        typer.Argument(
            help="digits@champion follows the alias; digits@2 always serves that version.",
            autocompletion=complete.model_versions,
        ),
    ],
    no_wait: NoWait = False,
    timeout: Timeout = 60.0,
    as_json: Json = False,
) -> None:
    """Serve a model, and wait until it answers. The word `create` is optional.

    An existing deployment of that name changes to the model; its previous one answers until the new one is warm.

    Example: lepton deploy digits digits@champion
    """
    with connect() as client, Console(stderr=True).status("warming up"):
        try:
            deployment = client.deployments.create(name, model, wait=not no_wait, timeout_seconds=timeout)
        except LeptonError as error:
            _check_exists(client, model, error)
            raise
        trial = "" if as_json else _trial(client, deployment)
    render.show(deployment, as_json, lambda: Text(_summary(deployment) + trial))


def _check_exists(client: Client, model: str, error: LeptonError) -> None:
    """Raises NOT_FOUND for a model that does not exist, as all other commands do.

    The server answers INVALID, as for any wrong value in a body.
    """
    if error.code is ErrorCode.INVALID and any(each.field == "model" for each in error.fields):
        client.models.version(model)


@app.command("ls")
def list_deployments(as_json: Json = False) -> None:
    """List the project's deployments."""
    with connect() as client:
        found = client.deployments.list()
    columns, empty = ("NAME", "MODEL", "#REVISION", "STATE", "SERVING"), "No deployments yet: lepton deploy NAME MODEL"
    render.show(found, as_json, lambda: render.table(columns, map(_row, found), empty=empty))


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show a deployment and its revisions."""
    with connect() as client:
        deployment, revisions = client.deployments.get(name), client.deployments.revisions(name)
        key_names = KeyNames(client)
        made_by = {} if as_json else {each.created_by: key_names.name(each.created_by) for each in revisions}
    value = {**deployment.model_dump(mode="json"), "revisions": render.jsonable(list(revisions))}
    about = {
        "deployment": deployment.name,
        "id": deployment.id,
        "model": _follows(deployment),
        "serving": _served(deployment.last_good),
    }
    columns = ("#REVISION", "ID", "SERVES", "STATE", "MADE", "REASON")
    rows = (
        (each.number, each.id, _served(each), render.state(each.state.value), *_made(each, made_by))
        for each in revisions
    )
    render.show(value, as_json, lambda: Group(render.fields(about), "", render.table(columns, rows)))


@app.command()
def rollback(
    name: Name,
    revision: Annotated[
        int, typer.Argument(min=0, help="Number of the revision. [default: the one before the current]")
    ] = 0,
    no_wait: NoWait = False,
    timeout: Timeout = 60.0,
    as_json: Json = False,
) -> None:
    """Serve the model of an earlier revision again. The deployment stops following its alias."""
    with connect() as client, Console(stderr=True).status("warming up"):
        deployment = client.deployments.rollback(name, revision, wait=not no_wait, timeout_seconds=timeout)
    pinned = f"; it is pinned to this version and follows no alias. To follow one: lepton deploy follow {name}"
    render.show(deployment, as_json, lambda: Text(_summary(deployment) + pinned))


@app.command()
def follow(
    name: Name,
    alias: Annotated[str, typer.Argument(help="Alias of its model.")] = "champion",
    no_wait: NoWait = False,
    timeout: Timeout = 60.0,
    as_json: Json = False,
) -> None:
    """Serve the version that an alias of the model points to, also after the alias has moved."""
    with connect() as client, Console(stderr=True).status("warming up"):
        deployment = client.deployments.follow(name, alias, wait=not no_wait, timeout_seconds=timeout)
    render.show(deployment, as_json, lambda: Text(f"{_summary(deployment)}; it follows {_follows(deployment)}"))


@app.command()
def delete(name: Name, as_json: Json = False) -> None:
    """Stop serving a deployment. Its model is kept."""
    with connect() as client:
        client.deployments.delete(name)
    render.show({"name": name, "deleted": True}, as_json, lambda: Text(f"{name} is no longer served"))


def _summary(deployment: Deployment) -> str:
    state = "serves" if deployment.last_good == deployment.desired else "will serve"
    return f"{deployment.name} {state} {_served(deployment.desired)}"


def _trial(client: Client, deployment: Deployment) -> str:
    if deployment.desired is None:
        return ""
    version = client.models.version(deployment.desired.model_version_id)
    command = command_to_try(deployment.name, version.signature, version.card, Path.cwd())
    return f"\ntry it: {command}" if command else ""


def _served(revision: Revision | None) -> str:
    return f"{revision.model}@{revision.model_version}" if revision else ""


def _follows(deployment: Deployment) -> str:
    return f"{deployment.model}@{deployment.alias}" if deployment.alias else _served(deployment.desired)


def _row(deployment: Deployment) -> tuple[object, ...]:
    desired = deployment.desired
    number, state = (desired.number, render.state(desired.state.value)) if desired else ("", "")
    return (deployment.name, _follows(deployment), number, state, _served(deployment.last_good))


def _made(revision: Revision, made_by: Mapping[str, str]) -> tuple[str, str]:
    return f"{render.ago(revision.created_at_us)} by {made_by[revision.created_by]}", revision.reason
