"""`lepton login`: saves the platform's URL and the API key."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from lepton.cli import render
from lepton.cli.key_names import KeyNames
from lepton.cli.session import Json, connect
from lepton.client import Client
from lepton.transport.http import is_local
from lepton.transport.login import checked, find_login, login_file, save_login
from lepton_core.errors import ErrorCode, LeptonError, invalid

MAX_KEY_BYTES = 4096


def login(
    url: Annotated[
        str, typer.Argument(help="The gateway, e.g. https://lepton.example.org [default: show the current login]")
    ] = "",
    key_file: Annotated[
        str, typer.Option("--key-file", help="A file that holds the API key; - reads it from stdin.")
    ] = "",
    export: Annotated[
        bool,
        typer.Option("--export", help='LEPTON_URL and LEPTON_API_KEY for a shell: eval "$(lepton login --export)"'),
    ] = False,
    as_json: Json = False,
) -> None:
    """Save the platform's URL and the API key to call it with. Without a URL, show the current login.

    The key is typed at a prompt that does not show it, or read from a file or stdin. It cannot be an argument, since
    every user of the machine can read those. It is checked, then saved in `~/.lepton/login.json`, which only you can
    read.

    `--export` prints the key for programs that need it, such as curl:

    eval "$(lepton login --export)"
    """
    if export:
        if url or key_file:
            raise invalid(
                "--export",
                "cannot be used together with a URL",
                allowed="`lepton login URL` first, then `lepton login --export`",
            )
        _export(as_json=as_json)
    elif url:
        _log_in(url, key_file, as_json=as_json)
    elif key_file:
        raise invalid("--key-file", "without a URL", key_file, "lepton login URL --key-file FILE")
    else:
        _show(as_json=as_json)


def _log_in(url: str, key_file: str, *, as_json: bool) -> None:
    found = checked(url, _read_key(key_file))
    with Client(found.url, found.api_key, retry_seconds=0) as client:
        caller = client.whoami()
    file = save_login(found)
    if found.url.startswith("http://") and not is_local(found.url):
        typer.echo("warning: plain http is not encrypted, so others on the network can read the key", err=True)
    shown = {"url": found.url, "project": caller.project, "role": caller.role, "file": str(file)}
    render.show(
        shown,
        as_json,
        lambda: Text(f"Logged in to {found.url}: project {caller.project}, role {caller.role}. Saved in {file}."),
    )


def _show(*, as_json: bool) -> None:
    with connect() as client:
        caller = client.whoami()
        key = KeyNames(client).name(caller.id)
    source = "LEPTON_API_KEY" if os.environ.get("LEPTON_API_KEY") else str(login_file())
    shown = {"url": find_login().url, "project": caller.project, "role": caller.role, "key": key, "from": source}
    render.show(shown, as_json, lambda: render.fields(shown))


def _export(*, as_json: bool) -> None:
    """For `eval`: prints only assignments to stdout, quoted for any POSIX shell."""
    found = find_login()
    values = {"LEPTON_URL": found.url, "LEPTON_API_KEY": found.api_key}
    if as_json:
        render.print_json(values)
        return
    if sys.stdout.isatty():
        typer.echo('to set these in your shell: eval "$(lepton login --export)"', err=True)
    for name, value in values.items():
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


def _read_key(key_file: str) -> str:
    if key_file and key_file != "-":
        try:
            with Path(key_file).open(encoding="utf-8") as file:
                return file.read(MAX_KEY_BYTES)
        except (OSError, UnicodeDecodeError) as error:
            raise LeptonError(ErrorCode.INVALID, f"--key-file {key_file}: cannot be read: {error}") from None
    if key_file == "-" or not sys.stdin.isatty():
        return sys.stdin.read(MAX_KEY_BYTES)
    key: str = typer.prompt("API key", hide_input=True, err=True)
    return key
