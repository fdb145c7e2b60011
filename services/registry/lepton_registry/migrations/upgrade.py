"""Migrates a database to this code's revision: under a lock, on SQLite after a backup. It never downgrades."""

import logging
import sqlite3
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from lepton_registry.database import postgres, sqlite
from lepton_registry.refusal import RefusedToStart

log = logging.getLogger(__name__)
# Any number, but the same in all releases: processes of several releases may start at the same time.
POSTGRES_LOCK = 0x4C_45_50_54


def configuration(connection: sa.Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


def upgrade(url: str) -> None:
    """Raises RefusedToStart for a database of newer code, or one that another registry uses (SQLite)."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        _upgrade_sqlite(parsed)
    else:
        _upgrade_postgres(parsed)


def _upgrade_sqlite(url: sa.URL) -> None:
    assert url.database
    lock = sqlite.ProcessLock(url.database)
    engine = sqlite.build_engine(url, begin="BEGIN IMMEDIATE", pool_size=1)
    try:
        with engine.begin() as connection:
            current, head = _revisions(connection)
        if current == head:
            return
        if current is not None:
            _back_up(Path(url.database), current)
        with engine.begin() as connection:
            command.upgrade(configuration(connection), "head")
    finally:
        engine.dispose()
        lock.release()
    log.info("the database is at revision %s (it was at %s)", head, current or "none")


def _upgrade_postgres(url: sa.URL) -> None:
    engine = postgres.build_engine(url)
    try:
        with engine.begin() as connection:
            # Released at the end of the transaction. A second process then has nothing to do.
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(POSTGRES_LOCK)))
            current, head = _revisions(connection)
            if current != head:
                command.upgrade(configuration(connection), "head")
                log.info("the database is at revision %s (it was at %s)", head, current or "none")
    finally:
        engine.dispose()


def _revisions(connection: sa.Connection) -> tuple[str | None, str]:
    """The database's revision and this code's."""
    scripts = ScriptDirectory.from_config(configuration())
    head = scripts.get_current_head()
    assert head is not None
    current = MigrationContext.configure(connection).get_current_revision()
    if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
        raise RefusedToStart(
            f"the database is at revision {current}, which this version of the registry does not know: it was migrated "
            "by a newer one. Install that version again, or restore a backup made before it."
        )
    return current, head


def _back_up(database: Path, revision: str) -> None:
    backup = database.with_name(f"{database.name}.before-{revision}-ended")
    temporary = backup.with_name(f"{backup.name}.part")
    with sqlite3.connect(database) as source, sqlite3.connect(temporary) as target:
        source.backup(target)
    source.close()
    target.close()
    temporary.replace(backup)
    backup.chmod(0o600)
    log.info("a backup of the database is at %s", backup)
