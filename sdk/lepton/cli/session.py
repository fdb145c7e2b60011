"""Shared by all commands: the `--json` and `--quiet` options and a connected client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lepton.client import Client

# Long enough for a platform that restarts, short enough for a person who waits at a prompt.
RETRY_SECONDS = 3.0
# Commands that follow a run for hours continue after a longer restart.
WATCH_RETRY_SECONDS = 120.0

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, errors as JSON on stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]


def connect(*, patient: bool = False) -> Client:
    """A client with the current login. Raises UNAUTHENTICATED if there is none."""
    from lepton.client import Client

    return Client(retry_seconds=WATCH_RETRY_SECONDS if patient else RETRY_SECONDS)
