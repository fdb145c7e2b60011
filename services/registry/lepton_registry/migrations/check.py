"""Checks that migrations and tables agree; part of `make lint`. The exit code of the program is the result."""

import sys
import tempfile
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from lepton_registry.migrations.upgrade import upgrade
from lepton_registry.schema import METADATA


def differences(url: str, metadata: sa.MetaData = METADATA) -> list[Any]:
    """Migrates an empty database and compares it with the tables."""
    upgrade(url)
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = [*compare_metadata(context, metadata), *_unique_differences(connection, metadata)]
    engine.dispose()
    return found


def _unique_differences(connection: sa.Connection, metadata: sa.MetaData) -> list[tuple[str, str, tuple[str, ...]]]:
    """Compares unique constraints, on which idempotency keys rely: Alembic ignores those without a name on SQLite."""
    inspector = sa.inspect(connection)
    found = []
    for name in set(metadata.tables) & set(inspector.get_table_names()):
        constraints = metadata.tables[name].constraints
        wanted = {_columns(each) for each in constraints if isinstance(each, sa.UniqueConstraint)}
        built = {tuple(sorted(each["column_names"])) for each in inspector.get_unique_constraints(name)}
        found += [("missing_unique", name, columns) for columns in sorted(wanted - built)]
        found += [("unknown_unique", name, columns) for columns in sorted(built - wanted)]
    return found


def _columns(constraint: sa.UniqueConstraint) -> tuple[str, ...]:
    return tuple(sorted(column.name for column in constraint.columns))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = differences(f"sqlite:///{Path(folder) / 'registry.db'}")
    for difference in found:
        sys.stderr.write(f"{difference}\n")
    if found:
        sys.exit("tables and migrations differ: make a revision (see docs on the registry's migrations)")


if __name__ == "__main__":
    main()
