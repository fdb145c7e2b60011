"""Fixtures of the registry's tests: an open database with all tables, on SQLite and on PostgreSQL."""

import importlib
import pkgutil
from collections.abc import AsyncIterator

import lepton_registry
import pytest
import sqlalchemy as sa
from lepton_registry.database import Database, open_database
from sqlmodel import SQLModel


def _create_tables(url: str) -> None:
    for module in pkgutil.walk_packages(lepton_registry.__path__, "lepton_registry."):
        if module.name.endswith(".tables"):
            importlib.import_module(module.name)
    engine = sa.create_engine(url)
    SQLModel.metadata.create_all(engine)
    engine.dispose()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Each test runs on both databases."""
    _create_tables(database_url)
    opened = open_database(database_url)
    yield opened
    await opened.close()
