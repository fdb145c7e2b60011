"""Fixture `stack`: registry, store, queue and trainer; `start_stack` for one with settings of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from stack import Stack


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
