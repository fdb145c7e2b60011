"""Model versions and aliases: one version for each run, aliases by compare and set."""

import asyncio

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import digest_of
from lepton_registry.artifacts import blobs
from lepton_registry.artifacts.manifest import File
from lepton_registry.database.engine import Database
from lepton_registry.models import aliases, store

PROJECT, OTHER = "prj_a", "prj_b"


async def register(database: Database, content: str, *, run_id: str = "", project: str = PROJECT):
    file = File("model.onnx", digest_of(content.encode()), len(content))

    def work(conn):
        blobs.add(conn, project, [blobs.Stored(file.digest, file.bytes, "key", 0)])
        return store.register_version(
            conn, project, model="digits", files=[file], signature_json='{"v":1}', run_id=run_id, created_by="key_1"
        )

    return await database.write(work)


async def point(database: Database, version: int, expected: int = 0, alias: str = "champion"):
    return await database.write(
        lambda conn: aliases.set_alias(
            conn,
            PROJECT,
            model="digits",
            alias=alias,
            version=version,
            expected_version=expected,
            updated_by="key_1",
            followers=(),
        )
    )


async def refused(call) -> LeptonError:
    with pytest.raises(LeptonError) as raised:
        await call
    return raised.value


async def test_a_run_makes_one_version_however_often_it_finishes(database):
    first, created = await register(database, "one", run_id="run_1")
    again, created_again = await register(database, "other bytes", run_id="run_1")
    other, _ = await register(database, "two", run_id="run_2")
    assert (created, created_again) == (True, False)
    assert again == first
    assert (first.version, other.version) == (1, 2)


async def test_an_import_of_the_same_files_is_the_same_version(database):
    first, _ = await register(database, "one")
    again, created = await register(database, "one")
    trained, trained_created = await register(database, "one", run_id="run_1")
    assert (again, created) == (first, False)
    assert trained_created, "what a run made is a version of its own"
    assert trained.version == 2


async def test_references(database):
    first, _ = await register(database, "one", run_id="run_1")
    second, _ = await register(database, "two", run_id="run_2")
    await point(database, 1)
    for reference, row in {
        "digits": second,
        "digits@latest": second,
        "digits@1": first,
        "digits@champion": first,
        f"digits@{second.digest}": second,
        first.id: first,
        second.id[:-1]: second,
    }.items():
        assert await database.read(lambda conn, ref=reference: store.resolve(conn, PROJECT, ref)) == row, reference
    error = await refused(database.read(lambda conn: store.resolve(conn, PROJECT, "digits@best")))
    assert error.code is ErrorCode.NOT_FOUND
    assert "champion" in error.fields[0].allowed
    for beginning in ("mv_0", "mv_"):
        error = await refused(database.read(lambda conn, ref=beginning: store.resolve(conn, PROJECT, ref)))
        assert error.code is ErrorCode.INVALID
        assert error.fields[0].allowed == ", ".join(sorted([first.id, second.id], reverse=True))
    error = await refused(database.read(lambda conn: store.resolve(conn, OTHER, first.id[:-1])))
    assert error.code is ErrorCode.NOT_FOUND
    error = await refused(database.read(lambda conn: store.resolve(conn, OTHER, first.id)))
    assert error.code is ErrorCode.NOT_FOUND


async def test_compare_and_set(database):
    await register(database, "one", run_id="run_1")
    await register(database, "two", run_id="run_2")
    await point(database, 1)
    error = await refused(point(database, 2, expected=2))
    assert error.code is ErrorCode.CONFLICT
    assert "points at version 1" in error.detail
    row = await point(database, 2, expected=1)
    assert row.version == 2
    error = await refused(point(database, 1, expected=1, alias="fresh"))
    assert "does not exist" in error.detail


async def test_of_two_that_expect_the_same_one_wins(database):
    for number in range(3):
        await register(database, str(number), run_id=f"run_{number}")
    await point(database, 1)
    results = await asyncio.gather(
        point(database, 2, expected=1), point(database, 3, expected=1), return_exceptions=True
    )
    assert sorted(type(result).__name__ for result in results) == ["LeptonError", "Row"]


@pytest.mark.parametrize("alias", ["latest", "3", "a b", ""])
async def test_an_alias_that_could_be_taken_for_a_version_is_refused(database, alias):
    await register(database, "one", run_id="run_1")
    error = await refused(point(database, 1, alias=alias))
    assert error.code is ErrorCode.INVALID
    assert error.fields[0].field == "alias"


async def test_an_alias_cannot_point_at_a_version_that_is_not_there(database):
    await register(database, "one", run_id="run_1")
    assert (await refused(point(database, 2))).code is ErrorCode.NOT_FOUND
    assert (await refused(point(database, 0))).code is ErrorCode.INVALID


async def test_a_deleted_alias_is_gone(database):
    await register(database, "one", run_id="run_1")
    await point(database, 1)

    def delete(conn):
        aliases.delete_alias(conn, PROJECT, model="digits", alias="champion", followers=())

    await database.write(delete)
    assert (await refused(database.write(delete))).code is ErrorCode.NOT_FOUND
