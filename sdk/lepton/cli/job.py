"""`lepton job`: submitting jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from lepton.cli import render
from lepton.cli.session import Json, Quiet, connect
from lepton.cli.watch import watch_run
from lepton_core.jobs.spec import job_schema

app = typer.Typer(no_args_is_help=True)


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(help="A job file: YAML, TOML or JSON.")],
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Wait until the run has ended; exit code 1 if it failed.")
    ] = False,
    key: Annotated[
        str, typer.Option("--key", help="Idempotency key: submitting again with the same key returns the same run.")
    ] = "",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Submit a job.

    The code folder of a script job is uploaded first. The job is checked at once: errors name the field and what is
    allowed.

    Example: lepton job submit digits.yaml --watch
    """
    with connect(patient=watch) as client:
        run = client.jobs.submit(file, idempotency_key=key or None, progress=not (quiet or as_json))
        if not watch:
            render.show(run.resource, as_json, lambda: accepted(run.id, run.name))
            return
        if not as_json:
            render.out().print(accepted(run.id, run.name))
        watch_run(client, run, quiet=quiet, as_json=as_json)


@app.command()
def schema(_as_json: Json = False) -> None:
    """Print the JSON Schema of a job file, for editors; it is JSON with and without --json.

    The platform serves it too, at /v1/schemas/job.json. Settings of a recipe: lepton recipe show NAME
    """
    render.print_json(job_schema())


def accepted(run_id: str, name: str) -> Text:
    return Text(f"accepted: {name}  {run_id}\nfollow it: lepton run watch {run_id}")
