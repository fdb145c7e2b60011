"""`lepton keys`: the API keys of a project."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group
from rich.text import Text

from lepton.cli import render
from lepton.cli.session import Json, connect
from lepton.transport.login import write_private
from lepton_core.api import ApiKey, Role
from lepton_core.errors import ErrorCode, LeptonError, invalid

app = typer.Typer(no_args_is_help=True)

UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
ROLES = "viewer reads, editor also writes, admin also manages keys, operator also manages the platform."
AGE_RULE = "a whole number followed by s, m, h or d, such as 90d"


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    role: Annotated[Role, typer.Option("--role", help=ROLES)] = Role.EDITOR,
    expires: Annotated[
        str, typer.Option("--expires", help=f"How long the key is valid: {AGE_RULE}. [default: no expiry]")
    ] = "",
    project: Annotated[str, typer.Option("--project", help="A key of another project (operators only).")] = "",
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the secret to this new file, which only you can read.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make an API key. Its secret is shown once: the platform keeps only a hash.

    Example: lepton keys create ci --role editor --expires 90d --out ci.key
    """
    ttl_seconds = _seconds(expires)
    if out is not None and out.exists():
        raise LeptonError(ErrorCode.ALREADY_EXISTS, f"{out} exists; keys are written to new files only")
    with connect() as client:
        made = client.keys.create(name, role=role.value, ttl_seconds=ttl_seconds, project=project)
    value = made.key.model_dump(mode="json")
    if out is not None:
        write_private(out, made.secret + "\n")
        render.show({**value, "file": str(out)}, as_json, lambda: Text(f"{made.key.id}  written to {out}"))
        return
    drawn = Group(
        render.fields({"key": made.key.id, "role": made.key.role.value, "secret": made.secret}),
        Text("Save it now: it is not shown again.", style="dim"),
    )
    render.show({**value, "secret": made.secret}, as_json, lambda: drawn)


@app.command("ls")
def list_keys(as_json: Json = False) -> None:
    """List the project's keys, without their secrets."""
    with connect() as client:
        found = client.keys.list()
    columns = ("KEY", "NAME", "ROLE", "MADE", "STATE")
    render.show(found, as_json, lambda: render.table(columns, map(_row, found)))


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="Id of a key (key_…) or the beginning of one.", metavar="KEY")],
    as_json: Json = False,
) -> None:
    """Revoke a key. Services that checked it recently may accept it for up to 30 more seconds."""
    with connect() as client:
        revoked = client.keys.revoke(client.keys.find_id(key_id))
    render.show(revoked, as_json, lambda: Text(f"{revoked.id} ({revoked.name}) is revoked"))


def _row(key: ApiKey) -> tuple[object, ...]:
    state = "valid"
    if key.revoked_at_us:
        state = f"revoked {render.ago(key.revoked_at_us)}"
    elif key.expires_at_us:
        state = f"expires {render.ago(key.expires_at_us)}"
    return (key.id, key.name, key.role.value, render.when(key.created_at_us), state)


def _seconds(age: str) -> int:
    if not age:
        return 0
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", age)
    if match is None:
        raise invalid("--expires", "not a length of time", age, AGE_RULE)
    return int(match[1]) * UNIT_SECONDS[match[2]]
