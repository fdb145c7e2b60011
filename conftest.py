"""Fixtures for every test of the tree: real servers, real platforms. See tests/lepton_fixtures."""

from pathlib import Path

import pytest

pytest_plugins = [
    "lepton_fixtures.servers",
    "lepton_fixtures.databases",
    "lepton_fixtures.platform",
    "lepton_fixtures.start_stack",
    "lepton_fixtures.other_user",
]

ROOT = Path(__file__).parent
# Folders whose single tests take longest, and then those that share a platform. All others come last: many short
# files, which fill both workers of pytest-xdist to the end.
LONG_FIRST = ("services/trainer/", "tests/trainer/", "sdk/", "services/inference/", "services/registry/")
PLATFORM_NEXT = ("tests/client/", "tests/integration/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files start first: one that starts last keeps one worker busy while the other has nothing left."""
    folders = LONG_FIRST + PLATFORM_NEXT

    def place(item: pytest.Item) -> int:
        name = item.path.relative_to(ROOT).as_posix()
        return next((at for at, folder in enumerate(folders) if name.startswith(folder)), len(folders))

    items.sort(key=place)
