"""The recipe catalogue: rows never change, and schemas cannot hurt the gateway (PROTOCOLS, 10)."""

import json

import pytest

from lepton_core.api.limits import MAX_RECIPE_SCHEMA_BYTES
from lepton_core.errors import ErrorCode, LeptonError
from lepton_registry.recipes import store
from lepton_registry.recipes.schemas import check_schema


async def announce(database, version="1", schema='{"type":"object"}', name="r"):
    recipe = store.Announced(name, version, "Title", schema)
    await database.write(lambda conn: store.announce(conn, recipe, "recipes[0]"))


async def test_announcing_again_changes_nothing(database):
    for _ in range(3):
        await announce(database)
    assert len(await database.read(store.list_all)) == 1


async def test_another_schema_under_a_known_version_is_refused(database):
    await announce(database)
    with pytest.raises(LeptonError) as raised:
        await announce(database, schema='{"type":"object","title":"x"}')
    assert raised.value.code is ErrorCode.CONFLICT
    await announce(database, "2", '{"type":"object","title":"x"}')


async def test_the_newest_version_is_the_one_announced_last(database):
    for version in ("1", "2", "10"):
        await announce(database, version)
    assert (await database.read(lambda conn: store.get(conn, "r", ""))).version == "10"
    assert (await database.read(lambda conn: store.get(conn, "r", "2"))).version == "2"
    with pytest.raises(LeptonError) as raised:
        await database.read(lambda conn: store.get(conn, "r", "7"))
    assert raised.value.code is ErrorCode.NOT_FOUND


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"pattern": "(a+)+$"}}},
        {"patternProperties": {"^x": {}}},
        {"properties": {"a": {"$ref": "https://example.org/schema.json"}}},
        {"$defs": {"a": {"anyOf": [{"$dynamicRef": "file:///etc/passwd"}]}}},
        {"items": [{"items": {"pattern": "x"}}]},
        {"title": "x" * MAX_RECIPE_SCHEMA_BYTES},
        [],
        "text",
    ],
)
def test_a_schema_that_could_hurt_is_refused(schema):
    with pytest.raises(LeptonError):
        check_schema(json.dumps(schema), "schema")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(LeptonError):
        check_schema(text, "schema")


def test_a_setting_may_be_called_pattern_and_refer_within():
    schema = {
        "properties": {"pattern": {"type": "string"}, "b": {"$ref": "#/$defs/b"}},
        "$defs": {"b": {"default": {"pattern": "x"}}},
    }
    assert check_schema(json.dumps(schema), "schema").startswith("sha256:")
