"""`lepton login`: where the platform is, and with which key to call it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from lepton.cli import render
from lepton.cli.session import Json
from lepton.client import Client
from lepton.login import checked, save_login
from lepton.transport import is_local
from lepton_core.errors import ErrorCode, LeptonError

MAX_KEY_BYTES = 4096


def login(
    url: Annotated[str, typer.Argument(help="The gateway, e.g. https://lepton.example.org")],
    key_file: Annotated[
        str, typer.Option("--key-file", help="A file that holds the API key; - reads it from stdin.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Save where the platform is and the API key to call it with.

    The key is asked for without showing it, or read from a file or stdin; it is never an argument, which every user of
    the machine could read. It is tried out before it is saved, in `~/.lepton/login.json`, readable by you only.
    """
    found = checked(url, _read_key(key_file))
    with Client(found.url, found.api_key, retry_seconds=0) as client:
        caller = client.whoami()
    file = save_login(found)
    if found.url.startswith("http://") and not is_local(found.url):
        typer.echo("warning: over plain http everybody on the way can read the key", err=True)
    told = {"url": found.url, "project": caller.project, "role": caller.role, "file": str(file)}
    render.show(
        told,
        as_json,
        lambda: Text(f"Logged in to {found.url}: project {caller.project}, role {caller.role}. Saved in {file}."),
    )


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
