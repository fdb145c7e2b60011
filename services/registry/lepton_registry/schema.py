"""All tables of the registry, for migrations and for the check that both agree."""

from sqlmodel import SQLModel

from lepton_registry.database.tables import LeaderRow, LockRow
from lepton_registry.modules import MODULES

# Imports every class before the metadata is read.
TABLES: tuple[type[SQLModel], ...] = (LockRow, LeaderRow, *(each for module in MODULES for each in module.tables))
METADATA = SQLModel.metadata
