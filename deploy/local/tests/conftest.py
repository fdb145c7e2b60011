"""A home for each test, and a supervisor whose processes end with it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lepton_local.components import Component
from lepton_local.home import Home
from lepton_local.leftovers import find_marked, kill_marked
from lepton_local.processes import Supervisor, Watched


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home")
    home.create()
    yield home
    for component in find_marked(home.marker):
        kill_marked(home.marker, component)


@pytest.fixture
def stand_in(tmp_path: Path) -> Callable[..., Component]:
    """A small program as a component: it is ready once it has written its file."""

    def make(
        name: str, script: str = "signal.pause()", *, stop_seconds: float = 10, after: tuple[str, ...] = ()
    ) -> Component:
        ready = tmp_path / f"{name}.ready"
        program = f"import os, signal, sys, time\n{script.replace('READY', repr(str(ready)))}"
        if "READY" not in script:
            program = f"import signal\nopen({str(ready)!r}, 'w').close()\n{program}"
        return Component(
            name=name,
            command=[sys.executable, "-c", program],
            environment={},
            ready=ready.exists,
            stop_seconds=stop_seconds,
            after=after,
            ready_file=ready,
        )

    return make


@pytest.fixture
def changes() -> list[tuple[str, str]]:
    """What the supervisor reported: (component, text)."""
    return []


@pytest.fixture
def supervise(home: Home, changes: list[tuple[str, str]]) -> Iterator[Callable[[list[Component]], Supervisor]]:
    started: list[Supervisor] = []

    def report(watched: Watched, text: str) -> None:
        changes.append((watched.component.name, text))

    def make(components: list[Component]) -> Supervisor:
        started.append(Supervisor(components, home, report=report, environ=os.environ))
        return started[-1]

    yield make
    for supervisor in started:
        with contextlib.suppress(ProcessLookupError):
            supervisor.drain(list(supervisor.watched), lambda: True)
