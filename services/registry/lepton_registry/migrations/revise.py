"""Drafts a revision from the difference between tables and migrations: `python …/revise.py "what it does"`.

Read and correct the draft: a migration only adds; what is no longer needed is removed one release later.
"""

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from alembic import command

from lepton_registry.database import sqlite
from lepton_registry.migrations.upgrade import configuration


def main(message: str) -> None:
    name = datetime.now(UTC).strftime("%Y_%m_%d_%H%M")
    with tempfile.TemporaryDirectory() as folder:
        url = sa.make_url(f"sqlite:///{Path(folder) / 'registry.db'}")
        engine = sqlite.build_engine(url, begin="BEGIN IMMEDIATE", pool_size=1)
        with engine.begin() as connection:
            config = configuration(connection)
            config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
            if any((Path(__file__).parent / "versions").glob("[0-9]*.py")):
                command.upgrade(config, "head")
            command.revision(config, message, autogenerate=True, rev_id=name)
        engine.dispose()


if __name__ == "__main__":
    main(sys.argv[1])
