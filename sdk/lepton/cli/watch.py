"""Shows a run until it ends: a progress bar in a terminal, a line for each change elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from lepton.cli import render
from lepton.cli.key_names import KeyNames
from lepton.resources.runs import Run, RunFailedError
from lepton.transport.progress import Notice, Standing
from lepton_core.api import Run as RunResource
from lepton_core.api import RunState
from lepton_core.plain_text import plain, plain_log

if TYPE_CHECKING:
    from lepton.client import Client


def watch_run(client: Client, run: Run, *, quiet: bool, as_json: bool) -> None:
    """Waits for the run, then prints it. Raises RunFailedError if it did not succeed."""
    plain_lines = not (quiet or as_json or sys.stderr.isatty())
    try:
        run.wait(progress=_Lines() if plain_lines else not (quiet or as_json))
    except RunFailedError:
        # Scripts also need the document of a failed run.
        if as_json:
            render.print_json(run.resource)
        elif run.state is RunState.FAILED:
            typer.echo(f"why: lepton run logs {run.id}", err=True)
        raise
    except KeyboardInterrupt:
        # People could think that Ctrl-C has stopped the run.
        if not as_json:
            typer.echo(
                f"\nthe run goes on: lepton run logs {run.id} -f\nto stop it: lepton run cancel {run.id}", err=True
            )
        raise
    render.show(run.resource, as_json, lambda: result(run, KeyNames(client)))


class _Lines:
    """For logs of CI systems: prints state, attempt and each tenth of the progress once."""

    def __init__(self) -> None:
        self._said = ("", -1, 0)
        self._standing = Standing()
        self._notice = Notice()

    def __call__(self, run: Run) -> None:
        tenth = int(run.progress * 10) if run.state is RunState.RUNNING else 0
        says = (run.standing, tenth, run.resource.attempts)
        if says != self._said:
            self._said = says
            line = f"{run.name} {self._standing.of(run)}" + (f" {tenth * 10} %" if tenth else "")
            typer.echo(plain(line), err=True)
        if news := self._notice.of(run):
            typer.echo(news, err=True)


def result(run: Run, key_names: KeyNames) -> RenderableType:
    resource = run.resource
    parts: list[RenderableType] = [render.fields(summary(run, key_names))]
    if run.metrics:
        parts += ["", scores(run)]
    if reference := made(resource):
        parts += ["", f"next: lepton model promote {reference}", f"      lepton deploy {resource.model} {reference}"]
    return Group(*parts)


def made(run: RunResource) -> str:
    """`name@version` of the registered model; empty until it is registered."""
    return f"{run.model}@{run.model_version}" if run.model_version_id else ""


def scores(run: Run) -> RenderableType:
    rows = [(name, float(value)) for name, value in run.metrics.items()]
    return render.table(("METRIC", "#VALUE"), rows)


def standing(run: Run) -> Text:
    """The state, in its colour; a run that is being cancelled has the colour of cancelled ones."""
    return Text(run.standing, style=render.state("cancelled" if "cancel" in run.standing else run.state.value).style)


def summary(run: Run, key_names: KeyNames) -> dict[str, object]:
    resource = run.resource
    recipe = f"{resource.recipe}@{resource.recipe_version}" if resource.recipe else "(a script)"
    ended, began = resource.finished_at_us, resource.started_at_us
    took = render.duration((ended - began) / 1e6) if ended and began else ""
    return {
        "run": resource.id,
        "name": resource.name,
        "state": standing(run),
        "reason": resource.reason,
        "cause": run.cause.code if run.cause else "",
        "last lines": plain_log("\n".join(run.log_tail)),
        "recipe": recipe,
        "data": run.dataset,
        "model": made(resource),
        "progress": f"{resource.progress:.0%}" if resource.state is RunState.RUNNING else "",
        "attempts": resource.attempts,
        "submitted": f"{render.when(resource.created_at_us)} by {key_names.name(resource.created_by)}",
        "took": took,
        "repeats": resource.retry_of,
    }
