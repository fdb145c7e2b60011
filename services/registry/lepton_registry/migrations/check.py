"""`make lint`: what the migrations build is what the tables say. Run as a program, it answers with its exit code."""

import sys
import tempfile
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from lepton_registry.migrations.upgrade import upgrade
from lepton_registry.schema import METADATA


def differences(url: str) -> list[Any]:
    """Migrates an empty database and compares it with the tables."""
    upgrade(url)
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = list(compare_metadata(context, METADATA))
    engine.dispose()
    return found


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = differences(f"sqlite:///{Path(folder) / 'registry.db'}")
    for difference in found:
        sys.stderr.write(f"{difference}\n")
    if found:
        sys.exit("tables and migrations differ: make a revision (see docs on the registry's migrations)")


if __name__ == "__main__":
    main()
