"""A replica that is told what to serve; everything else is the real service."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from services.inference.tests.fleet import Fleet


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        yield await Fleet(tmp_path, stack).start()


@pytest.fixture
async def start_fleet(tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Call it, as often as you like, for replicas on one folder: the later ones find what the earlier left there."""
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> Fleet:
            return await Fleet(tmp_path, stack).start(**settings)

        yield start
