"""All tables of the registry, for migrations, for the check that both agree, and for tests."""

import sqlalchemy as sa
from sqlmodel import SQLModel

from lepton_registry.database.tables import LeaderRow, LockRow
from lepton_registry.modules import MODULES

# Imports every class before the metadata is read.
TABLES: tuple[type[SQLModel], ...] = (LockRow, LeaderRow, *(each for module in MODULES for each in module.tables))
METADATA = SQLModel.metadata


def create_tables(url: str) -> None:
    """Makes the tables without migrations, for tests, which start with an empty database."""
    engine = sa.create_engine(url)
    METADATA.create_all(engine)
    engine.dispose()
