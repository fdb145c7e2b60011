"""`lepton run`: the runs of jobs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from lepton.cli import complete, render
from lepton.cli.job import accepted
from lepton.cli.key_names import KeyNames
from lepton.cli.session import Json, Quiet, connect
from lepton.cli.watch import made, scores, standing, summary, watch_run
from lepton.resources.checkpoints import best_checkpoint, find_checkpoint
from lepton.resources.logs import LogPiece
from lepton.resources.runs import Run, log_tail, resume_steps
from lepton_core.api import Attempt, Checkpoint, RunState
from lepton_core.errors import invalid
from lepton_core.jobs.labels import parse_labels
from lepton_core.plain_text import plain, plain_log

app = typer.Typer(no_args_is_help=True)

RunId = Annotated[
    str,
    typer.Argument(
        help="Id of a run (run_…) or the beginning of one; or last.", metavar="RUN", autocompletion=complete.runs
    ),
]


@app.command("ls")
def list_runs(
    state: Annotated[RunState | None, typer.Option("--state", help="Only runs in this state.")] = None,
    name: Annotated[str, typer.Option("--name", help="Only runs of this name.")] = "",
    recipe: Annotated[str, typer.Option("--recipe", help="Only runs of this recipe.")] = "",
    dataset: Annotated[str, typer.Option("--data", help="Only runs on this dataset.")] = "",
    model: Annotated[str, typer.Option("--model", help="Only runs that register versions of this model.")] = "",
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="NAME=VALUE", help="Only runs with this label. May be repeated."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Maximum number of runs, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """List runs, newest first."""
    labels = parse_labels(label or (), "--label")
    with connect() as client:
        # One more than is shown, to know whether there are more.
        found = client.runs.list(
            state=state, name=name, recipe=recipe, dataset=dataset, model=model, labels=labels, limit=limit + 1
        )
    more, found = len(found) > limit, found[:limit]
    columns = ("RUN", "NAME", "STATE", "#DONE", "RECIPE", "DATA", "MODEL", "SUBMITTED")
    narrowed = state or name or recipe or dataset or model or labels
    empty = "No such runs." if narrowed else "No runs yet: lepton job submit FILE"
    listed = [run.resource for run in found]
    render.show(listed, as_json, lambda: render.table(columns, map(_row, found), empty=empty))
    if more:
        typer.echo(f"There are more: --limit {2 * limit}, or narrow the list by --state, --name, --recipe, …", err=True)


def _row(run: Run) -> tuple[object, ...]:
    resource = run.resource
    model = made(resource)
    done = {RunState.RUNNING: f"{run.progress:.0%}", RunState.SUCCEEDED: "100%"}.get(run.state, "")
    recipe = resource.recipe or "(script)"
    submitted = render.ago(resource.created_at_us)
    return (run.id, run.name, standing(run), done, recipe, run.dataset, model, submitted)


@app.command()
def show(run_id: RunId, as_json: Json = False) -> None:
    """Show a run: state, metrics and attempts."""
    with connect() as client:
        run = client.runs.get(client.runs.find_id(run_id))
        attempts, steps = run.attempts(), resume_steps(run)
        value = {**run.resource.model_dump(mode="json"), "attempt_list": render.jsonable(attempts)}
        render.show(value, as_json, lambda: described(run, attempts, steps, KeyNames(client)))


def described(run: Run, attempts: Sequence[Attempt], steps: Mapping[str, int], key_names: KeyNames) -> RenderableType:
    parts: list[RenderableType] = [render.fields(summary(run, key_names))]
    if run.metrics:
        parts += ["", scores(run)]
    if attempts:
        columns = ("#TRY", "ATTEMPT", "STATE", "FROM", "STARTED", "CAUSE", "REASON")
        parts += ["", render.table(columns, (_attempt(each, steps) for each in attempts))]
    return Group(*parts)


def _attempt(attempt: Attempt, steps: Mapping[str, int]) -> tuple[object, ...]:
    step = steps.get(attempt.resumed_from)
    begun = f"step {step}" if step is not None else "a checkpoint" if attempt.resumed_from else "the beginning"
    started, state = render.when(attempt.created_at_us), render.state(attempt.state.value)
    cause = attempt.cause.code if attempt.cause else ""
    reason = render.brief("\n".join([attempt.reason, *log_tail(attempt.cause)[-1:]]))
    return (attempt.number, attempt.id, state, begun, started, cause, reason)


@app.command()
def watch(run_id: RunId, quiet: Quiet = False, as_json: Json = False) -> None:
    """Show a run's progress until it has ended. Exit code 1 if it failed or was cancelled."""
    with connect(patient=True) as client:
        watch_run(client, client.runs.get(client.runs.find_id(run_id)), quiet=quiet, as_json=as_json)


@app.command()
def logs(
    run_id: RunId,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Follow the log until the run has ended.")] = False,
    stream: Annotated[str, typer.Option("--stream", help="Show one stream: rank-0, rank-1, …, launcher; or all.")] = "",
    raw: Annotated[
        bool, typer.Option("--raw", help="Print the log unchanged, with terminal escape sequences.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the log of a run: the output of its programs. With --json, one JSON object in each line.

    The launcher's own log is shown if the programs wrote nothing, or with --stream launcher.
    """
    silent = True
    with connect(patient=follow) as client:
        run_id = client.runs.find_id(run_id)
        run = client.runs.get(run_id)
        headings = _Headings(run)
        if follow and run.unschedulable and not as_json:
            typer.echo(f"{run.name} waits: {plain(run.unschedulable)}", err=True)
        for piece in client.runs.log_pieces(run_id, follow=follow, stream=stream):
            silent = False
            if as_json:
                render.print_json_line({"attempt_id": piece.attempt_id, "stream": piece.stream, "text": piece.text})
            else:
                sys.stdout.write(headings.before(piece) + (piece.text if raw else plain_log(piece.text)))
                sys.stdout.flush()
        if silent and not as_json:
            _report_empty_log(client.runs.get(run_id))


class _Headings:
    """A heading before the log of each further attempt, so that it does not look like one program's output."""

    def __init__(self, run: Run) -> None:
        self._run, self._attempt_id, self._ended_line = run, "", True

    def before(self, piece: LogPiece) -> str:
        changed = self._attempt_id not in ("", piece.attempt_id)
        broken = "" if self._ended_line else "\n"
        self._attempt_id = piece.attempt_id
        if piece.text:
            self._ended_line = piece.text.endswith("\n")
        return f"{broken}--- attempt {self._number()}\n" if changed else ""

    def _number(self) -> object:
        numbers = {each.id: each.number for each in self._run.attempts()}
        return numbers.get(self._attempt_id, self._attempt_id)


def _report_empty_log(run: Run) -> None:
    """Prints the run's state and reason, since they may explain the empty log."""
    message = f"nothing was logged; run {run.state.value}"
    typer.echo(plain(f"{message}: {run.reason}" if run.reason else message), err=True)


@app.command()
def metrics(
    run_id: RunId,
    keys: Annotated[list[str] | None, typer.Argument(help="Only these metrics.")] = None,
    as_json: Json = False,
) -> None:
    """Show the recorded metrics of a run. With --json, every point.

    Example: lepton run metrics run_01J… loss
    """
    with connect() as client:
        points = client.runs.metric_points(client.runs.find_id(run_id), *(keys or ()))
    ranks = {point.rank for point in points}
    ordered = sorted(points, key=lambda point: (point.key, point.rank, point.step))
    rows = []
    for (key, rank), group in groupby(ordered, lambda point: (point.key, point.rank)):
        values = [point.value for point in group]
        name = f"{key} (rank {rank})" if len(ranks) > 1 else key
        rows.append((name, len(values), values[0], values[-1], min(values), max(values), render.sparkline(values)))
    columns = ("METRIC", "#POINTS", "#FIRST", "#LAST", "#MIN", "#MAX", "COURSE")
    render.show(points, as_json, lambda: render.table(columns, rows, empty="No metrics are recorded (yet)."))


@app.command()
def checkpoints(
    run_id: RunId,
    which: Annotated[
        str, typer.Option("--get", metavar="STEP|best|last", help="Write the files of this checkpoint into a folder.")
    ] = "",
    folder: Annotated[
        Path | None, typer.Option("--to", help="Where --get writes. [default: RUN-step-N]", show_default=False)
    ] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List the stored checkpoints of a run, with their scores, or fetch one. A higher score is better.

    With --get, each file is verified by its SHA-256. Files that exist with the right bytes are not fetched again.
    Nothing is deleted.
    """
    if folder is not None and not which:
        raise invalid(
            "--to", "given without --get", str(folder), "only together with --get STEP, --get best or --get last"
        )
    with connect() as client:
        run = client.runs.find_id(run_id)
        found = client.runs.checkpoints(run)
        if which:
            chosen = find_checkpoint(run, found, which)
            target = folder or Path(f"{run}-step-{chosen.step}")
            client.runs.pull_checkpoint(chosen, target, progress=not (quiet or as_json))
            text = f"checkpoint of step {chosen.step} in {target}"
            render.show({**chosen.model_dump(mode="json"), "folder": str(target)}, as_json, lambda: Text(text))
            return
    columns = ("CHECKPOINT", "#STEP", "#EPOCH", "#SCORE", "BEST", "COMMITTED")
    empty = "No checkpoints (yet)."
    render.show(found, as_json, lambda: render.table(columns, checkpoint_rows(found), empty=empty))


def checkpoint_rows(found: Sequence[Checkpoint]) -> list[tuple[object, ...]]:
    """One row for each checkpoint. The best is marked."""
    best = best_checkpoint(found)
    return [
        (
            each.id,
            each.step,
            each.epoch,
            "" if each.score is None else each.score,
            "best" if each is best else "",
            render.when(each.created_at_us),
        )
        for each in found
    ]


@app.command()
def files(
    run_id: RunId,
    attempt: Annotated[
        int | None, typer.Option("--attempt", min=1, help="Number of the attempt. [default: the last that left files]")
    ] = None,
    folder: Annotated[Path | None, typer.Option("--to", help="Write the files into this folder.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """List the files that the script of a run left, or fetch them. They are kept if its result could not be used.

    With --to, each file is verified by its SHA-256. Files that exist with the right bytes are not fetched again.
    Nothing is deleted.
    """
    with connect() as client:
        run = client.runs.find_id(run_id)
        if folder is not None:
            found = client.runs.fetch_files(run, folder, attempt, progress=not (quiet or as_json))
            value = {"folder": str(folder), "files": render.jsonable(found)}
            render.show(value, as_json, lambda: Text(f"{render.count(len(found), 'file')} in {folder}"))
            return
        found = client.runs.files(run, attempt)
    columns = ("FILE", "#SIZE", "DIGEST")
    rows = [(entry.path, render.size(entry.bytes), entry.digest[:19]) for entry in found]
    empty = "No files are kept: only those of a script whose result cannot be used are."
    render.show(found, as_json, lambda: render.table(columns, rows, empty=empty))


@app.command()
def cancel(run_id: RunId, as_json: Json = False) -> None:
    """Cancel a run. A queued run ends at once; a running one ends when its processes have ended."""
    with connect() as client:
        run = client.runs.cancel(client.runs.find_id(run_id))
    result = "cancelled" if run.ended else "cancel requested: its processes are being stopped"
    render.show(run.resource, as_json, lambda: Text(f"{run.id} {result}"))


@app.command()
def retry(
    run_id: RunId,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Wait until the run has ended; exit code 1 if it failed.")
    ] = False,
    key: Annotated[str, typer.Option("--key", help="Idempotency key of the new run.")] = "",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Submit the same job again, as a new run on the same dataset version."""
    with connect(patient=watch) as client:
        run = client.runs.retry(client.runs.find_id(run_id), idempotency_key=key or None)
        if not watch:
            render.show(run.resource, as_json, lambda: accepted(run.id, run.name))
            return
        watch_run(client, run, quiet=quiet, as_json=as_json)
