"""Platforms that the tests disturb. Two are shared, one on each database: each test leaves them running again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from lepton_fixtures.databases import postgres_database
from lepton_fixtures.jobs import QUICK, Curve, assert_succeeded, curve, images_job, push_images
from lepton_fixtures.platform import RunningPlatform


@contextmanager
def running_with_images(folder: Path, settings: Mapping[str, str]) -> Iterator[RunningPlatform]:
    running = RunningPlatform(folder / "home", QUICK | settings)
    try:
        push_images(running.client(), folder / "images")
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def rough_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    with running_with_images(tmp_path_factory.mktemp("rough-sqlite"), {}) as running:
        yield running


@pytest.fixture(scope="session")
def rough_postgres(tmp_path_factory: pytest.TempPathFactory, postgres_folder: Path) -> Iterator[RunningPlatform]:
    with postgres_database(postgres_folder) as url:
        settings = {"LEPTON_LOCAL_DATABASE_URL": url}
        with running_with_images(tmp_path_factory.mktemp("rough-postgres"), settings) as running:
            yield running


@pytest.fixture(params=["sqlite", "postgres"])
def rough(request: pytest.FixtureRequest) -> RunningPlatform:
    """The test runs twice: on a platform on SQLite and on one on PostgreSQL."""
    return cast("RunningPlatform", request.getfixturevalue(f"rough_{request.param}"))


@pytest.fixture(scope="session")
def undisturbed(rough_sqlite: RunningPlatform) -> Curve:
    """The curve of `images_job()` when nothing happens to it."""
    run = rough_sqlite.client().jobs.submit(images_job(), progress=False)
    assert len(assert_succeeded(rough_sqlite, run)) == 1
    return curve(run)
