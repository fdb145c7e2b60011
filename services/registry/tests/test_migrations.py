"""Migrations: under a lock, after a backup, never down (PROTOCOLS, 12)."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command

from lepton_registry.database.engine import LOCKS, open_database
from lepton_registry.migrations.check import differences
from lepton_registry.migrations.upgrade import configuration, upgrade
from lepton_registry.refusal import RefusedToStart
from lepton_registry.schema import METADATA


def test_tables_and_migrations_agree(database_url):
    assert differences(database_url) == []


def test_a_constraint_that_no_migration_makes_or_drops_is_a_difference(database_url):
    changed = sa.MetaData()
    for table in METADATA.tables.values():
        table.to_metadata(changed)
    runs, versions = changed.tables["runs"], changed.tables["model_versions"]
    runs.append_constraint(sa.UniqueConstraint("id", "project"))
    kept = {each for each in versions.constraints if not isinstance(each, sa.UniqueConstraint)}
    versions.constraints = kept
    found = {(kind, table, columns) for kind, table, columns, *_ in _uniques(differences(database_url, changed))}
    assert found == {
        ("missing_unique", "runs", ("id", "project")),
        ("unknown_unique", "model_versions", ("model_id", "version")),
        ("unknown_unique", "model_versions", ("model_id", "run_id")),
    }


def _uniques(found):
    return [difference for difference in found if str(difference[0]).endswith("_unique")]


def test_a_second_upgrade_changes_nothing(database_url):
    upgrade(database_url)
    upgrade(database_url)


async def test_several_processes_may_upgrade_at_once(postgres_url):
    await asyncio.gather(*[asyncio.to_thread(upgrade, postgres_url) for _ in range(4)])


def test_workers_from_before_isolate_no_scripts(database_url):
    """Until they register anew, and say what they can."""
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        command.upgrade(configuration(connection), "2026_11_21_1125")
        connection.execute(
            sa.text(
                "INSERT INTO workers (id, hostname, incarnation, accepts_scripts, max_ranks, gpus, registered_at_us, "
                "seen_at_us, draining) VALUES ('wrk_1', 'host', 1, true, 1, 0, 1, 1, false)"
            )
        )
    upgrade(database_url)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT accepts_scripts, isolates_scripts FROM workers")).one() == (1, 0)
    engine.dispose()


def _set_revision(url, revision):
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    engine.dispose()


def test_a_newer_database_is_not_touched(database_url):
    upgrade(database_url)
    _set_revision(database_url, "2099_01_01_0000")
    with pytest.raises(RefusedToStart, match="2099_01_01_0000, which this version of the registry does not know"):
        upgrade(database_url)


async def test_no_upgrade_while_a_registry_runs_on_sqlite(sqlite_url, monkeypatch):
    monkeypatch.setattr("lepton_registry.database.sqlite.LOCK_WAIT_SECONDS", 0.1)
    upgrade(sqlite_url)
    database = open_database(sqlite_url)
    with pytest.raises(RefusedToStart, match="another registry"):
        upgrade(sqlite_url)
    await database.close()


async def test_a_backup_with_all_rows_is_made_before_an_upgrade(sqlite_url, tmp_path, monkeypatch):
    upgrade(sqlite_url)
    database = open_database(sqlite_url)
    await database.write(lambda conn: conn.execute(sa.insert(LOCKS), {"name": "kept"}))
    await database.close()
    before = set(tmp_path.iterdir())
    monkeypatch.setattr("lepton_registry.migrations.upgrade._revisions", lambda connection: ("earlier", "later"))
    monkeypatch.setattr("alembic.command.upgrade", lambda config, revision: None)
    upgrade(sqlite_url)
    made = [path for path in set(tmp_path.iterdir()) - before if "before" in path.name]
    assert len(made) == 1
    assert made[0].stat().st_mode & 0o077 == 0
    with sqlite3.connect(made[0]) as backup:
        assert backup.execute("SELECT name FROM locks").fetchall() == [("kept",)]
    backup.close()


def _migrate(url, revision):
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        command.upgrade(configuration(connection), revision)
    engine.dispose()


def _some_value(column):
    kinds = ((sa.Boolean, False), (sa.Float, 0.0), (sa.Integer, 0))
    return next((value for kind, value in kinds if isinstance(column.type, kind)), "")


def test_an_upgrade_from_the_first_tables_gives_runs_that_wait_their_lineage(database_url):
    """A database that is in use, with a run that was submitted before and that no worker has begun."""
    _migrate(database_url, "2026_11_21_0900")
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        runs = sa.Table("runs", sa.MetaData(), autoload_with=connection)
        row = {column.name: _some_value(column) for column in runs.c}
        waits = {"id": "run_1", "project": "prj_a", "dataset_version_id": "dsv_1", "code_digest": "sha256:1"}
        begun = {"id": "run_2", "project": "prj_a", "idempotency_key": "2", "dataset_version_id": "dsv_1"}
        connection.execute(sa.insert(runs), [row | waits, row | begun | {"attempts": 1}])
    upgrade(database_url)
    with engine.begin() as connection:
        edges = connection.execute(sa.text("SELECT from_id, relation, to_id FROM lineage_edges ORDER BY to_id")).all()
        nodes = connection.execute(sa.text("SELECT id, kind FROM lineage_nodes")).all()
    engine.dispose()
    assert edges == [("run_1", "executed", "code:sha256:1"), ("run_1", "used", "dsv_1")]
    assert nodes == [("run_1", "run")]


def test_revisions_import_neither_sqlmodel_nor_ours():
    folder = Path(__file__).parent.parent / "lepton_registry" / "migrations" / "versions"
    for revision in folder.glob("2*.py"):
        text = revision.read_text()
        assert "sqlmodel" not in text
        assert "lepton_registry" not in text
