"""`lepton worker`: the machines that run jobs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from lepton.cli import complete, render
from lepton.cli.session import Json, connect
from lepton_core.api import Worker
from lepton_core.errors import ErrorCode, FieldError, LeptonError

if TYPE_CHECKING:
    from lepton.client import Client

app = typer.Typer(no_args_is_help=True)

LOOK_SECONDS = 0.5


@app.command("ls")
def list_workers(as_json: Json = False) -> None:
    """List the machines that run jobs."""
    with connect() as client:
        found = client.workers.list()
    columns = ("WORKER", "HOST", "STATE", "#RANKS", "#GPUS", "RECIPES", "SCRIPTS", "DOES")
    render.show(found, as_json, lambda: render.table(columns, map(_row, found), empty="No worker ever came."))


@app.command()
def drain(
    worker_id: Annotated[
        str,
        typer.Argument(
            help="Id of a worker (wrk_…) or the beginning of one.", metavar="WORKER", autocompletion=complete.workers
        ),
    ],
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait until the worker has released its run.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0, help="Seconds to wait.")] = 120.0,
    as_json: Json = False,
) -> None:
    """Give a worker no more work, before its machine is stopped or changed.

    Its current run writes a checkpoint and goes back to the queue, for another worker. The worker takes work again
    after it is restarted. Needs a key of role operator.

    Example: lepton worker drain wrk_01J… --wait
    """
    with connect() as client:
        try:
            worker = client.workers.drain(client.workers.find_id(worker_id))
        except LeptonError as error:
            raise _with_known(client, worker_id, error) from None
        if wait and worker.current_attempt_id:
            with Console(stderr=True).status("waiting for a checkpoint"):
                worker = _idle(client, worker, timeout)
    does = f"it is releasing {worker.current_attempt_id}" if worker.current_attempt_id else "it runs nothing"
    render.show(worker, as_json, lambda: Text(f"{worker.id} ({worker.hostname}) gets no more work; {does}"))


def _idle(client: Client, worker: Worker, timeout: float) -> Worker:
    until = time.monotonic() + timeout
    while worker.current_attempt_id:
        if time.monotonic() > until:
            detail = f"{worker.id} still runs {worker.current_attempt_id}; it continues to drain"
            raise LeptonError(ErrorCode.TIMEOUT, detail)
        time.sleep(LOOK_SECONDS)
        worker = next(each for each in client.workers.list() if each.id == worker.id)
    return worker


def _with_known(client: Client, worker_id: str, error: LeptonError) -> LeptonError:
    """Adds the existing workers to a NOT_FOUND."""
    if error.code is not ErrorCode.NOT_FOUND:
        return error
    known = ", ".join(each.id for each in client.workers.list() if each.alive) or "none alive"
    return LeptonError(error.code, error.detail, [FieldError("worker", error.detail, worker_id, known)])


def _row(worker: Worker) -> tuple[object, ...]:
    state = render.state("draining" if worker.draining and worker.current_attempt_id else "ready")
    if not worker.alive:
        state = Text(f"gone, seen {render.ago(worker.seen_at_us)}", style="red")
    elif worker.draining and not worker.current_attempt_id:
        state = render.state("drained")
    accepts = "isolated" if worker.isolates_scripts else "yes"
    scripts = accepts if worker.accepts_scripts else "no"
    recipes, does = ", ".join(worker.recipes), worker.current_attempt_id or "nothing"
    return (worker.id, worker.hostname, state, worker.max_ranks, worker.gpus, recipes, scripts, does)
