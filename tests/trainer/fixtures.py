"""Fixture `start_stack`: registry, store, queue and trainer, with settings of the test's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from trainer.stack import Stack


@pytest.fixture
def start_stack(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    stacks: list[Stack] = []

    def start(settings: Mapping[str, str] | None = None, *parts: str) -> Stack:
        folder = tmp_path / f"stack-{len(stacks)}"
        folder.mkdir()
        stacks.append(Stack(folder, settings))
        return stacks[-1].start(*parts)

    yield start
    for stack in stacks:
        stack.stop()
