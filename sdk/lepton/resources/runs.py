"""Runs: the execution of jobs."""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from lepton.resources.checkpoints import find_checkpoint
from lepton.resources.id_prefix import SHOWN_MATCHES, only_match
from lepton.resources.left_files import left_by, require_left
from lepton.resources.logs import LogPiece, check_stream, follow_pieces, read_pieces, spoken
from lepton.resources.models import Models
from lepton.transport.http import Transport, new_key, part
from lepton.transport.progress import shown
from lepton.transport.sse import followed
from lepton.transport.transfer import pull_files, read_manifest
from lepton_core.api import (
    Attempt,
    Cause,
    Checkpoint,
    FileEntry,
    ListAttemptsResponse,
    ListCheckpointsResponse,
    ListRunsResponse,
    MetricPoint,
    ModelVersion,
    QueryMetricsResponse,
    RunState,
)
from lepton_core.api import Run as RunResource
from lepton_core.api.limits import MAX_METRIC_POINTS, MAX_PAGE_ENTRIES
from lepton_core.causes import WaitingCause
from lepton_core.errors import Cause as ErrorCause
from lepton_core.errors import ErrorCode, FieldError, LeptonError, invalid
from lepton_core.ids import is_id
from lepton_core.plain_text import plain
from lepton_core.validation import listed, near_matches

ENDED = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.CANCELLED})
FIRST_POLL_SECONDS = 0.1
LONGEST_POLL_SECONDS = 1.0
LAST = "last"


class RunFailedError(LeptonError):
    """Raised by `Run.wait` if the run did not succeed; `run` has the details.

    `cause.code` is one of `lepton_core.api.EndCause`, or a newer one; None if the worker gave no cause.
    """

    def __init__(self, run: Run) -> None:
        # A cancelled run needs no reason.
        reason = run.reason or ("" if run.state is RunState.CANCELLED else "no reason given")
        code = f" ({run.cause.code})" if run.cause and run.cause.code != run.state.value else ""
        detail = f"run {run.id} {run.state.value}{code}" + (f": {reason}" if reason else "")
        cause = ErrorCause(run.cause.code, run.cause.parameters, run.cause.message) if run.cause else None
        super().__init__(ErrorCode.FAILED_PRECONDITION, detail, cause=cause)
        self.run = run

    def __str__(self) -> str:
        """The detail, and the last lines of the log if the attempt ended without saying why."""
        tail = self.run.log_tail
        lines = ["last lines of its log:", *(f"  {line}" for line in tail)] if tail else []
        return plain("\n".join([self.detail, *lines]))


class Run:
    """A run as it was at the last request; `refresh()` requests it again. `resource` holds all fields."""

    def __init__(self, runs: Runs, resource: RunResource) -> None:
        self._runs = runs
        self.resource = resource

    @property
    def id(self) -> str:
        """`run_…`"""
        return self.resource.id

    @property
    def name(self) -> str:
        """The job's name."""
        return self.resource.name

    @property
    def state(self) -> RunState:
        """The state at the last request."""
        return self.resource.state

    @property
    def ended(self) -> bool:
        """Whether it has succeeded, failed or been cancelled."""
        return self.resource.state in ENDED

    @property
    def progress(self) -> float:
        """Progress of the current attempt, from 0 to 1."""
        return self.resource.progress

    @property
    def attempt(self) -> int:
        """The number of the current or last attempt, from 1; 0 before the first."""
        return self.resource.attempts

    @property
    def reason(self) -> str:
        """Why the run failed; for a queued run, why no worker can take it or why it is queued again."""
        return self.resource.reason

    @property
    def cause(self) -> Cause | None:
        """How its last attempt ended, as code and parameters (see `lepton_core.api.EndCause`).

        None while an attempt runs, if it succeeded, and if the worker gave no cause.
        """
        return self.resource.cause

    @property
    def log_tail(self) -> builtins.list[str]:
        """The last lines that a program wrote before it ended without saying why; empty where the reason says it."""
        return log_tail(self.cause)

    @property
    def standing(self) -> str:
        """The state as text, with the place in the queue, or that it is being cancelled."""
        if self.resource.cancel_requested and not self.ended:
            return f"{self.state.value}, being cancelled"
        waits = self.waiting_reason
        if waits is not None and waits.code == WaitingCause.QUEUED:
            return f"{self.state.value}, {waits.message}"
        return self.state.value

    @property
    def waiting_reason(self) -> Cause | None:
        """Why a queued run waits, as code and parameters (see `lepton_core.api.WaitingCause`); None in lists."""
        return self.resource.waiting_reason if self.state is RunState.QUEUED else None

    @property
    def unschedulable(self) -> str:
        """Why no worker can ever take the queued run; empty if it only waits for a free worker."""
        waits = self.waiting_reason
        return waits.message if waits is not None and waits.code != WaitingCause.QUEUED else ""

    @property
    def untaken(self) -> str:
        """The earlier name of `unschedulable`."""
        return self.unschedulable

    @property
    def metrics(self) -> dict[str, float]:
        """Final metrics of the evaluation; empty until the run has succeeded."""
        return dict(self.resource.metrics)

    @property
    def dataset(self) -> str:
        """The exact dataset version that the run used, `name@version`; empty if it used none."""
        return f"{self.resource.dataset}@{self.resource.dataset_version}" if self.resource.dataset else ""

    @property
    def model_version(self) -> ModelVersion | None:
        """The model version that the run registered; None if it registered none (yet)."""
        found = self.resource.model_version_id
        return self._runs.models.version(found) if found else None

    def refresh(self) -> Run:
        """Requests the run again. Returns itself."""
        self.resource = self._runs.resource(self.id)
        return self

    def wait(self, timeout_seconds: float | None = None, progress: Callable[[Run], None] | bool = True) -> Run:
        """Waits until the run has ended, with a progress bar in a terminal, or calling `progress` after each change.

        Raises RunFailedError if the run fails or is cancelled, and TIMEOUT if it has not ended in time; it continues.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        with shown(progress) as show:
            pause = FIRST_POLL_SECONDS
            while True:
                before = (self.state, self.progress)
                self.refresh()
                show(self)
                if self.ended:
                    break
                if deadline is not None and time.monotonic() > deadline:
                    raise LeptonError(ErrorCode.TIMEOUT, f"run {self.id} is still {self.state.value}; it continues")
                changed = (self.state, self.progress) != before
                pause = FIRST_POLL_SECONDS if changed else min(pause * 1.5, LONGEST_POLL_SECONDS)
                time.sleep(pause)
        if self.state is not RunState.SUCCEEDED:
            raise RunFailedError(self)
        return self

    def cancel(self) -> Run:
        """Cancels the run. A queued run ends at once; a running one ends when its processes have ended."""
        self.resource = self._runs.cancel(self.id).resource
        return self

    def retry(self) -> Run:
        """Submits the same job again, as a new run."""
        return self._runs.retry(self.id)

    def attempts(self) -> list[Attempt]:
        """The attempts of the run, in order."""
        return self._runs.attempts(self.id)

    def resumed_step(self) -> int:
        """The step of the checkpoint from which the current attempt resumed; 0 if it started from the beginning."""
        steps = resume_steps(self)
        return next((steps.get(each.resumed_from, 0) for each in self.attempts() if each.number == self.attempt), 0)

    def checkpoints(self) -> list[Checkpoint]:
        """The committed checkpoints, in the order in which they were made."""
        return self._runs.checkpoints(self.id)

    def fetch_checkpoint(self, folder: str | Path, which: int | str = "best", *, progress: bool = True) -> Checkpoint:
        """Writes the files of one of its checkpoints into `folder`: see `Runs.fetch_checkpoint`."""
        return self._runs.fetch_checkpoint(self.id, folder, which, progress=progress)

    def files(self, attempt: int | None = None) -> list[FileEntry]:
        """The files that its script left: see `Runs.files`."""
        return self._runs.files(self.id, attempt)

    def fetch_files(self, folder: str | Path, attempt: int | None = None, *, progress: bool = True) -> list[FileEntry]:
        """Writes the files that its script left into `folder`: see `Runs.fetch_files`."""
        return self._runs.fetch_files(self.id, folder, attempt, progress=progress)

    def logs(self, *, follow: bool = False, stream: str = "") -> Iterator[str]:
        """Pieces of the log as text; with `follow`, until the run has ended. `stream`: see `Runs.logs`."""
        return self._runs.logs(self.id, follow=follow, stream=stream)

    def metric_points(self, *keys: str) -> list[MetricPoint]:
        """The recorded points in order, of the metric `key` or of all metrics."""
        return self._runs.metric_points(self.id, *keys)

    def __repr__(self) -> str:
        return f"Run(id={self.id!r}, name={self.name!r}, state={self.state.value!r})"


class Runs:
    def __init__(self, transport: Transport, models: Models) -> None:
        self.models = models
        self._transport = transport

    def get(self, run_id: str) -> Run:
        """The run of that id. Raises NOT_FOUND."""
        return Run(self, self.resource(run_id))

    def find_id(self, reference: str) -> str:
        """The id of a run by reference: `last` for the newest run, an id, or the beginning of one.

        Raises NOT_FOUND if there is none, INVALID with the matching ids if there are several.
        """
        if reference == LAST:
            if newest := self.list(limit=1):
                return newest[0].id
            raise LeptonError(ErrorCode.NOT_FOUND, "the project has no runs yet")
        if is_id(reference, "run"):
            return reference
        if not reference.startswith("run_"):
            message = f"there is no run {reference!r}"
            allowed = "an id, the beginning of one (run_01…), or `last`; `lepton run ls --name NAME` finds runs by name"
            raise LeptonError(ErrorCode.NOT_FOUND, message, [FieldError("run", message, "", allowed)])
        return only_match("run", reference, [run.id for run in self.list(id_prefix=reference, limit=SHOWN_MATCHES + 1)])

    def resource(self, run_id: str) -> RunResource:
        """All fields of a run, as the API returns them."""
        return self._transport.get(_path(run_id), RunResource)

    def cancel(self, run_id: str) -> Run:
        """Cancels a run. A queued run ends at once; a running one ends when its processes have ended."""
        return Run(self, self._transport.send("POST", f"{_path(run_id)}:cancel", RunResource))

    def retry(self, run_id: str, *, idempotency_key: str | None = None) -> Run:
        """Submits the same job again, as a new run on the same dataset version."""
        headers = {"idempotency-key": idempotency_key or new_key()}
        resource = self._transport.send("POST", f"{_path(run_id)}:retry", RunResource, headers=headers)
        return Run(self, resource)

    def attempts(self, run_id: str) -> list[Attempt]:
        """The attempts of a run, in order."""
        return self._transport.get(f"{_path(run_id)}/attempts", ListAttemptsResponse).attempts

    def checkpoints(self, run_id: str) -> list[Checkpoint]:
        """The committed checkpoints of a run, in the order in which they were made."""
        return self._transport.get(f"{_path(run_id)}/checkpoints", ListCheckpointsResponse).checkpoints

    def fetch_checkpoint(
        self, run_id: str, folder: str | Path, which: int | str = "best", *, progress: bool = True
    ) -> Checkpoint:
        """Writes the files of a checkpoint into `folder`, each verified by its SHA-256. Nothing in it is deleted.

        `which` is a step, `"best"` (by score) or `"last"`. Raises NOT_FOUND with the steps that are stored.
        """
        found = find_checkpoint(run_id, self.checkpoints(run_id), which)
        self.pull_checkpoint(found, folder, progress=progress)
        return found

    def pull_checkpoint(self, checkpoint: Checkpoint, folder: str | Path, *, progress: bool = True) -> None:
        """As `fetch_checkpoint`, of a checkpoint from `checkpoints`."""
        self._pull(checkpoint.manifest_digest, folder, f"checkpoint of step {checkpoint.step}", progress)

    def files(self, run_id: str, attempt: int | None = None) -> builtins.list[FileEntry]:
        """The files that the script of an attempt left, ordered by path; of the last attempt that left any, unless
        `attempt` is the number of another one.

        They are kept if a script's result could not be used: new and changed files of its code folder below `code/`,
        and those of the model package below `package/`. Otherwise there are none.
        """
        chosen = left_by(run_id, self.attempts(run_id), attempt)
        return read_manifest(self._transport, chosen.files_digest) if chosen else []

    def fetch_files(
        self, run_id: str, folder: str | Path, attempt: int | None = None, *, progress: bool = True
    ) -> builtins.list[FileEntry]:
        """Writes the files of `files` into `folder`, each verified by its SHA-256. Nothing in it is deleted.

        Raises NOT_FOUND if none are kept, with the attempts that left files.
        """
        chosen = require_left(run_id, self.attempts(run_id), attempt)
        return self._pull(chosen.files_digest, folder, f"files of attempt {chosen.number}", progress)

    def _pull(self, manifest_digest: str, folder: str | Path, title: str, progress: bool) -> builtins.list[FileEntry]:
        files = read_manifest(self._transport, manifest_digest)
        pull_files(self._transport, files, Path(folder), title=title, progress=progress)
        return files

    def metric_points(self, run_id: str, *keys: str) -> list[MetricPoint]:
        """The recorded points in order, of the metric `key` or of all metrics. Raises NOT_FOUND if the run has recorded
        other metrics but not `key`; before the first point it returns nothing, since `key` may follow."""
        found = self._points(run_id, keys)
        missing = [key for key in keys if key not in {point.key for point in found}]
        if missing and (recorded := sorted({point.key for point in self._points(run_id, ())})):
            raise _not_recorded(run_id, missing, recorded)
        return found

    def _points(self, run_id: str, keys: Sequence[str]) -> builtins.list[MetricPoint]:
        found: builtins.list[MetricPoint] = []
        cursor = ""
        while True:
            params = {"key": keys, "cursor": cursor, "limit": MAX_METRIC_POINTS}
            page = self._transport.get(f"{_path(run_id)}/metrics", QueryMetricsResponse, params)
            found += page.points
            if not page.points:
                return found
            cursor = page.next_cursor

    def logs(self, run_id: str, *, follow: bool = False, stream: str = "") -> Iterator[str]:
        """Pieces of the log as text: those that exist, or with `follow` all until the run has ended.

        `stream` is `rank-0`, `rank-1` …, `launcher` or `all`. Without it, the pieces are those of the ranks, or the
        launcher's if the ranks wrote nothing. Raises NOT_FOUND with the run's streams for another name.
        """
        return (piece.text for piece in self.log_pieces(run_id, follow=follow, stream=stream))

    def log_pieces(self, run_id: str, *, follow: bool = False, stream: str = "") -> Iterator[LogPiece]:
        """The same as `logs`, with the attempt and the stream of each piece."""
        path = _path(run_id)
        if stream:
            check_stream(self.resource(run_id), stream)
        pieces = (follow_pieces if follow else read_pieces)(self._transport, path, stream)
        return pieces if stream else spoken(pieces)

    def follow_metrics(self, run_id: str, *keys: str) -> Iterator[MetricPoint]:
        """Points as they arrive, until the run has ended."""
        for message in followed(self._transport, f"{_path(run_id)}/metrics/stream", {"key": keys}):
            for point in message.json():
                yield MetricPoint.model_validate(point)

    # Must be the last method: in annotations below it, `list` would mean this method.
    def list(
        self,
        *,
        state: RunState | str | None = None,
        name: str = "",
        recipe: str = "",
        dataset: str = "",
        model: str = "",
        labels: Mapping[str, str] | None = None,
        id_prefix: str = "",
        limit: int = 50,
    ) -> list[Run]:
        """Runs of the project that match every filter, newest first. An empty filter matches every run.

        `labels`: runs that have all of these labels, such as `{"team": "vision"}`. `recipe`, `dataset` and `model` are
        names without a version.
        """
        if limit < 1:
            raise invalid("limit", "too small", limit, "1 or more")
        if labels is not None and not isinstance(labels, Mapping):
            raise invalid("labels", "not a mapping", labels, 'names with their values, such as {"team": "vision"}')
        found: list[Run] = []
        filters = {"name": name, "recipe": recipe, "dataset": dataset, "model": model, "id_prefix": id_prefix}
        params: dict[str, str | Sequence[str]] = {key: value for key, value in filters.items() if value}
        params["label"] = [f"{name}={value}" for name, value in (labels or {}).items()]
        if state:
            params["state"] = _state(state).value
        params["page_size"] = str(min(max(limit, 1), MAX_PAGE_ENTRIES))
        for page in self._transport.pages("/v1/runs", ListRunsResponse, params):
            found += [Run(self, run) for run in page.runs]
            if len(found) >= limit:
                break
        return found[:limit]


def log_tail(cause: Cause | None) -> list[str]:
    """The last lines of the log that a cause brings along."""
    lines = cause.parameters.get("log_tail") if cause else None
    return [str(line) for line in lines] if isinstance(lines, list) else []


def resume_steps(run: Run) -> dict[str, int]:
    """Checkpoint id → step; empty for a run with one attempt, which cannot have resumed from a checkpoint."""
    return {each.id: each.step for each in run.checkpoints()} if run.attempt > 1 else {}


def _not_recorded(run_id: str, missing: Sequence[str], recorded: Sequence[str]) -> LeptonError:
    names = ", ".join(map(repr, missing))
    near = sorted({match for key in missing for match in near_matches(key, recorded)})
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    message = f"run {run_id} has recorded no {names}{hint}"
    return LeptonError(ErrorCode.NOT_FOUND, message, [FieldError("metric", message, names, listed(recorded))])


def _path(run_id: str) -> str:
    return f"/v1/runs/{part(run_id, 'run_id')}"


def _state(name: str) -> RunState:
    try:
        return RunState(name)
    except ValueError:
        raise invalid("state", "no such state of a run", name, ", ".join(RunState)) from None
