"""What every command has in common: the `--json` option and a connected client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lepton.client import Client

# People wait at a prompt: a platform that is not there is said at once, one that restarts is bridged.
RETRY_SECONDS = 3.0
# Whoever watches a run for hours does not want to lose it to a restart.
WATCH_RETRY_SECONDS = 120.0

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, errors as JSON on stderr.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar.")]


def connect(*, patient: bool = False) -> Client:
    """With the login that is found; raises UNAUTHENTICATED if there is none."""
    from lepton.client import Client

    return Client(retry_seconds=WATCH_RETRY_SECONDS if patient else RETRY_SECONDS)
