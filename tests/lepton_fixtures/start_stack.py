"""Fixture `start_stack`: registry, store, queue and trainer, with settings of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lepton_fixtures.stack import Stack


@pytest.fixture
def start_stack(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """Call it with settings of the trainer (`{"LEPTON_TRAINER_POLL_SECONDS": "1"}`) and names of parts to start."""
    # Here, so that pytest starts fast and each service's own tests run where no other service is installed.
    from lepton_fixtures.stack import Stack

    stacks: list[Stack] = []

    def start(settings: Mapping[str, str] | None = None, *parts: str) -> Stack:
        folder = tmp_path / f"stack-{len(stacks)}"
        folder.mkdir()
        stacks.append(Stack(folder, settings))
        return stacks[-1].start(*parts)

    yield start
    for stack in stacks:
        stack.stop()
