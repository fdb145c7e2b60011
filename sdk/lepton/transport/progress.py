"""Progress bars, shown only in a terminal, on stderr."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from lepton_core.api import RunState
from lepton_core.plain_text import plain

Advance = Callable[[int], None]


class Watched(Protocol):
    """The fields of a run that a progress bar shows."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> RunState: ...
    @property
    def progress(self) -> float: ...
    @property
    def attempt(self) -> int: ...
    @property
    def standing(self) -> str: ...
    @property
    def unschedulable(self) -> str: ...
    def resumed_step(self) -> int: ...


Shown = TypeVar("Shown", bound=Watched)


class Standing:
    """The state of a run as text: `running`, or from the second attempt on `running (attempt 2, from step 400)`."""

    def __init__(self) -> None:
        self._attempt, self._from = 1, ""

    def of(self, run: Watched) -> str:
        if run.attempt <= 1:
            return run.standing
        if run.attempt != self._attempt:
            step = run.resumed_step()
            self._attempt, self._from = run.attempt, f"from step {step}" if step else "from the beginning"
        return f"{run.standing} (attempt {run.attempt}, {self._from})"


class Notice:
    """Reports why no worker can take a run, once for each new reason."""

    def __init__(self) -> None:
        self._reported = ""

    def of(self, run: Watched) -> str:
        """The reason as a line of text; empty if it is not new."""
        if run.unschedulable == self._reported:
            return ""
        self._reported = run.unschedulable
        return f"{run.name} waits: {plain(run.unschedulable)}" if run.unschedulable else ""


@contextmanager
def shown(progress: Callable[[Shown], None] | bool) -> Iterator[Callable[[Shown], None]]:
    """The function to call after each request of a run: the caller's own, a progress bar, or none."""
    if callable(progress):
        yield progress
        return
    console = Console(stderr=True)
    if not progress or not console.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task, standing, notice = bar.add_task("waiting", total=1.0), Standing(), Notice()

        def show(run: Shown) -> None:
            if news := notice.of(run):
                bar.console.print(Text(news, style="yellow"), soft_wrap=True)
            done = 1.0 if run.state is RunState.SUCCEEDED else run.progress
            bar.update(task, description=plain(f"{run.name} {standing.of(run)}"), completed=done)

        yield show


@contextmanager
def transferring(title: str, total_bytes: int | None, *, wanted: bool = True) -> Iterator[Advance]:
    """Yields a function to call with each number of bytes moved. `total` None: not known yet."""
    console = Console(stderr=True)
    if not wanted or not console.is_terminal:
        yield lambda _: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=total_bytes)
        yield lambda moved: bar.advance(task, moved)
        if total_bytes is None:
            bar.update(task, total=bar.tasks[0].completed)
