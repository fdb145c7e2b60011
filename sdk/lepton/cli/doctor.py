"""`lepton doctor`: checks the platform and suggests what to do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from lepton.cli import render
from lepton.cli.session import Json
from lepton.transport.http import is_local
from lepton.transport.login import find_login, login_file
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.plain_text import plain

if TYPE_CHECKING:
    from lepton.client import Client

GROUP = "lepton.doctor"
# The newest queued runs; each costs a request.
LOOKED_AT_RUNS = 20
NAMED_RUNS = 3
PROBE = "lepton-doctor-probe"


@dataclass(frozen=True, slots=True)
class Finding:
    """`hint`: what to do about it; empty if `ok`."""

    subject: str
    ok: bool
    text: str
    hint: str = ""


def doctor(as_json: Json = False) -> None:
    """Check what is running and what is wrong, and suggest what to do. Exit code 1 if something is wrong."""
    found = list(examine())
    ok = all(finding.ok for finding in found)
    render.show({"ok": ok, "findings": [asdict(finding) for finding in found]}, as_json, lambda: _rendered(found))
    if not ok:
        raise typer.Exit(1)


def examine() -> Iterator[Finding]:
    from lepton.client import Client

    try:
        login = find_login()
    except LeptonError as error:
        yield from _of_this_machine()
        yield Finding("login", False, _statement(error), "lepton up, or lepton login URL")
        return
    if is_local(login.url):
        yield from _of_this_machine()
    yield _login(login.url)
    with Client(login.url, login.api_key, timeout_seconds=5, retry_seconds=0) as client:
        gateway = _finding_of("gateway", lambda: _gateway(client))
        yield gateway
        if gateway.ok:
            for subject, ask in (
                ("workers", _workers),
                ("recipes", _recipes),
                ("runs", _runs),
                ("inference", _inference),
                ("deployments", _deployments),
            ):
                yield _finding_of(subject, lambda ask=ask: ask(client))  # type: ignore[misc]  # binds the loop variable


def _finding_of(subject: str, ask: Callable[[], Finding]) -> Finding:
    try:
        return ask()
    except LeptonError as error:
        hint = {
            ErrorCode.UNAUTHENTICATED: "log in with a valid key: lepton login URL",
            ErrorCode.UNAVAILABLE: "start it (lepton up), or check the address: lepton login URL",
        }.get(error.code, f"see the log of {subject}")
        return Finding(subject, False, _statement(error), hint)


def _statement(error: LeptonError) -> str:
    """The error without the advice at the end of its detail, which may be to call `lepton doctor`."""
    return error.cause.message if error.cause and error.cause.message else error.detail


def _of_this_machine() -> Iterator[Finding]:
    """Findings of other packages: lepton-local checks the platform on this machine."""
    for point in entry_points(group=GROUP):
        try:
            for each in point.load()(os.environ):
                yield Finding(each.subject, each.ok, each.text, each.hint)
        except LeptonError as error:
            yield Finding(point.name, False, error.detail, "correct it, then try again")
        except OSError as error:
            text = f"cannot be read: {error.strerror or error}: {error.filename}"
            yield Finding(
                point.name, False, text, "run lepton doctor as the user who owns the platform, and check LEPTON_HOME"
            )
        except Exception as error:  # noqa: BLE001 - code of another package; its fault is a finding
            yield Finding(
                point.name, False, f"the check failed: {error!r}", "reinstall the package that adds this check"
            )


def _login(url: str) -> Finding:
    by_environment = bool(os.environ.get("LEPTON_API_KEY"))
    file = login_file()
    if not by_environment and file.stat().st_mode & 0o077:
        return Finding("login", False, f"others can read {file}", f"chmod 600 {file}, and change the key")
    return Finding("login", True, f"{url}, key from {'LEPTON_API_KEY' if by_environment else file}")


def _gateway(client: Client) -> Finding:
    caller = client.whoami()
    return Finding("gateway", True, f"answers at {client.url}; this key: project {caller.project}, role {caller.role}")


def _workers(client: Client) -> Finding:
    found = client.workers.list()
    alive = [worker for worker in found if worker.alive]
    ready = [worker for worker in alive if not worker.draining]
    busy = sum(bool(worker.current_attempt_id) for worker in alive)
    if not alive:
        waiting = len(client.runs.list(state="queued", limit=100))
        seen = max((worker.seen_at_us for worker in found), default=0)
        text = f"none is alive; {waiting} runs wait; the last worker was seen {render.ago(seen)}"
        return Finding("workers", False, text, "start a trainer: jobs wait until there is a worker")
    if not ready:
        text = f"all {len(alive)} are drained and take no work"
        return Finding("workers", False, text, "restart their trainers (lepton down, lepton up), or start another one")
    return Finding("workers", True, f"{len(alive)} alive, {busy} busy, {sum(each.gpus for each in alive)} GPUs")


def _recipes(client: Client) -> Finding:
    names = sorted({recipe.name for recipe in client.recipes()})
    if not names:
        return Finding("recipes", False, "none announced", "a worker announces them when it starts: see its log")
    return Finding("recipes", True, ", ".join(names))


def _runs(client: Client) -> Finding:
    """Finds queued runs that no worker can take. Lists of runs do not have this field, so each run is requested."""
    waiting = [client.runs.get(run.id) for run in client.runs.list(state="queued", limit=LOOKED_AT_RUNS)]
    unschedulable: dict[str, list[str]] = {}
    for run in waiting:
        if run.unschedulable:
            unschedulable.setdefault(run.unschedulable, []).append(f"{run.id} ({run.name})")
    if unschedulable:
        reasons = "; ".join(f"{_named(names)}: {reason}" for reason, names in unschedulable.items())
        text = f"{sum(map(len, unschedulable.values()))} wait, but no worker can take them: {reasons}"
        return Finding("runs", False, text, "start a worker that can take them, or lepton run cancel RUN")
    return Finding("runs", True, f"{render.count(len(waiting), 'run')} waiting")


def _named(names: list[str]) -> str:
    more = f" and {len(names) - NAMED_RUNS} more" if len(names) > NAMED_RUNS else ""
    return ", ".join(names[:NAMED_RUNS]) + more


def _inference(client: Client) -> Finding:
    try:
        client.predict(PROBE, row={})
    except LeptonError as error:
        if error.code in (ErrorCode.UNAVAILABLE, ErrorCode.TIMEOUT, ErrorCode.INTERNAL):
            return Finding("inference", False, error.detail, "start the inference service: see its log")
    # The deployment does not exist, so an error is expected; any other error shows that the service answers.
    return Finding("inference", True, "answers through the gateway")


def _deployments(client: Client) -> Finding:
    found = client.deployments.list()
    failed = [
        f"{each.name} (revision {each.desired.number}: {each.desired.reason})"
        for each in found
        if each.desired is not None and each.desired.state.value == "failed"
    ]
    if failed:
        text = f"{len(failed)} of {len(found)} cannot serve their model: {'; '.join(failed)}"
        return Finding("deployments", False, text, "lepton deploy rollback NAME, or deploy another version")
    return Finding("deployments", True, f"{len(found)}, none failed")


def _rendered(found: list[Finding]) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    for finding in found:
        mark = Text("✓", style="green") if finding.ok else Text("✗", style="bold red")
        grid.add_row(mark, Text(finding.subject, style="bold"), render.cell(finding.text))
        if finding.hint and not finding.ok:
            grid.add_row("", "", Text(f"→ {plain(finding.hint)}", style="yellow"))
    return grid
