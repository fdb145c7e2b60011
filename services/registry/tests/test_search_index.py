"""Labels, parameters and final metrics of runs, each a row of its own that a search can use."""

import json

import sqlalchemy as sa
from alembic import command

from lepton_registry.migrations.upgrade import configuration, upgrade
from lepton_registry.runs.search_index import MAX_ROWS_A_RUN, MAX_TEXT_CHARS, metric_rows, parameter_rows

TRAIN = {
    "epochs": 3,
    "optimizer": {"name": "adam", "lr": 0.001},
    "shuffle": True,
    "layers": [8, 4],
    "note": "x" * 1_000,
    "huge": 10**350,
    "zero": "a\0b",
    "none": {},
}
FLAT = [
    ("epochs", "3", 3.0),
    ("optimizer.name", "adam", None),
    ("optimizer.lr", "0.001", 0.001),
    ("shuffle", "true", None),
    ("layers", "[8,4]", None),
    ("note", "x" * MAX_TEXT_CHARS, None),
    ("huge", str(10**350)[:MAX_TEXT_CHARS], None),
    ("zero", "a\ufffdb", None),
    ("none", "{}", None),
]


async def rows(scene, table, *columns):
    statement = sa.text(f"SELECT {', '.join(columns)} FROM {table} ORDER BY name")
    return await scene.database.read(lambda conn: [tuple(row) for row in conn.execute(statement)])


def test_settings_become_rows_that_an_index_can_hold():
    assert [(row["name"], row["text"], row["number"]) for row in parameter_rows(TRAIN)] == FLAT
    assert parameter_rows({"n" * 257: 1}) == []
    assert len(metric_rows({f"m{at}": 1.0 for at in range(MAX_ROWS_A_RUN + 1)})) == MAX_ROWS_A_RUN


async def test_a_submission_and_its_result_are_recorded_once(scene):
    job = {"labels": {"team": "vision"}, "train": TRAIN}
    attempt = await scene.started(await scene.worker(), **job)
    await scene.finish(attempt.id, "succeeded", metrics_json='{"accuracy":0.9,"loss":1}')
    run = attempt.run_id
    assert await rows(scene, "run_labels", "project", "run_id", "name", "value") == [
        (scene.project, run, "team", "vision")
    ]
    found = await rows(scene, "run_parameters", "name", "text", "number")
    assert sorted(found) == sorted(FLAT)
    assert await rows(scene, "run_metrics", "run_id", "name", "value") == [(run, "accuracy", 0.9), (run, "loss", 1.0)]


async def test_the_same_key_again_adds_nothing(scene):
    for _ in range(2):
        await scene.submit(key="same", labels={"team": "vision"})
    assert len(await rows(scene, "run_labels", "name")) == 1


def _some_value(column):
    kinds = ((sa.Boolean, False), (sa.Float, 0.0), (sa.Integer, 0))
    return next((value for kind, value in kinds if isinstance(column.type, kind)), "")


def test_an_upgrade_fills_the_tables_from_the_runs_there_are(database_url):
    engine = sa.create_engine(database_url)
    with engine.begin() as connection:
        command.upgrade(configuration(connection), "2026_11_21_1135")
        runs = sa.Table("runs", sa.MetaData(), autoload_with=connection)
        row = {column.name: _some_value(column) for column in runs.c} | {"project": "prj_a"}
        spec = json.dumps({"labels": {"team": "vision"}, "train": TRAIN})
        good = {"id": "run_1", "idempotency_key": "1", "spec_json": spec, "metrics_json": '{"accuracy":0.9}'}
        bad = {"id": "run_2", "idempotency_key": "2", "spec_json": "{" * 9_000, "metrics_json": '{"a":NaN,"b":"c"}'}
        surrogate = {"id": "run_3", "idempotency_key": "3", "spec_json": '{"labels":{"a":"\\ud800"}}'}
        connection.execute(sa.insert(runs), [row | good, row | bad, row | surrogate | {"metrics_json": "{}"}])
    upgrade(database_url)
    with engine.connect() as connection:
        labels = connection.execute(sa.text("SELECT run_id, name, value FROM run_labels ORDER BY run_id")).all()
        parameters = connection.execute(sa.text("SELECT name, text, number FROM run_parameters")).all()
        metrics = connection.execute(sa.text("SELECT run_id, name, value FROM run_metrics")).all()
    engine.dispose()
    assert labels == [("run_1", "team", "vision"), ("run_3", "a", "?")]
    assert sorted(map(tuple, parameters)) == sorted(FLAT)
    assert metrics == [("run_1", "accuracy", 0.9)]


def test_a_search_by_name_and_value_uses_an_index(sqlite_url):
    upgrade(sqlite_url)
    engine = sa.create_engine(sqlite_url)
    searches = {
        "run_labels": "value = 'vision'",
        "run_parameters": "number > 0.01",
        "run_metrics": "value > 0.9",
    }
    with engine.connect() as connection:
        for table, condition in searches.items():
            search = f"SELECT run_id FROM {table} WHERE project = 'p' AND name = 'n' AND {condition}"
            plan = str(connection.execute(sa.text(f"EXPLAIN QUERY PLAN {search}")).all())
            assert f"USING COVERING INDEX ix_{table}" in plan
    engine.dispose()
