"""Dataset versions: immutable, content-addressed, found by every kind of reference."""

import asyncio

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import digest_of
from lepton_registry.artifacts import blobs
from lepton_registry.artifacts import store as artifacts
from lepton_registry.artifacts.manifest import File
from lepton_registry.database.engine import Database
from lepton_registry.datasets import store

PROJECT, OTHER = "prj_a", "prj_b"


async def commit_folder(database: Database, project: str = PROJECT, **files: str) -> str:
    """Digest of a committed manifest; file names and contents as given."""
    entries = [File(name, digest_of(text.encode()), len(text)) for name, text in files.items()]

    def work(conn):
        blobs.add(conn, project, [blobs.Stored(entry.digest, entry.bytes, "key", 0) for entry in entries])
        return artifacts.commit_manifest(conn, project, entries).digest

    return await database.write(work)


async def push(database: Database, digest: str, name: str = "digits", project: str = PROJECT):
    return await database.write(
        lambda conn: store.create_version(conn, project, name=name, manifest_digest=digest, created_by="key_1")
    )


async def resolve(database: Database, reference: str, project: str = PROJECT):
    return await database.read(lambda conn: store.resolve(conn, project, reference))


async def test_the_same_files_again_are_the_same_version(database):
    digest = await commit_folder(database, a="1", b="2")
    first, created = await push(database, digest)
    again, created_again = await push(database, digest)
    assert (created, created_again) == (True, False)
    assert again == first
    assert (first.version, first.files, first.bytes) == (1, 2, 2)


async def test_what_was_pushed_last_is_latest_even_if_an_older_version_had_it(database):
    one, two = await commit_folder(database, a="1"), await commit_folder(database, a="2")
    for digest in (one, two, one):
        await push(database, digest)
    latest = await resolve(database, "digits@latest")
    assert (latest.version, latest.digest) == (3, one)
    assert (await resolve(database, f"digits@{one}")).version == 3


async def test_every_kind_of_reference(database):
    one, two = await commit_folder(database, a="1"), await commit_folder(database, a="2")
    first, _ = await push(database, one)
    second, _ = await push(database, two)
    expected = {
        "digits": second,
        "digits@latest": second,
        "digits@1": first,
        "digits@2": second,
        f"digits@{one}": first,
        first.id: first,
        second.id[:-1]: second,
    }
    for reference, row in expected.items():
        assert await resolve(database, reference) == row, reference


@pytest.mark.parametrize(
    ("reference", "code", "allowed"),
    [
        ("digitz", ErrorCode.NOT_FOUND, "digits"),
        ("digits@2", ErrorCode.NOT_FOUND, "1 to 1"),
        ("digits@best", ErrorCode.NOT_FOUND, "name@latest"),
        ("digits@0", ErrorCode.INVALID, "from 1"),
        ("../digits", ErrorCode.INVALID, "name@latest"),
        ("dsv_01ARZ3NDEKTSV4RRFFQ69G5FAV", ErrorCode.NOT_FOUND, "an id of this project"),
    ],
)
async def test_a_wrong_reference_says_what_is_allowed(database, reference, code, allowed):
    await push(database, await commit_folder(database, a="1"))
    with pytest.raises(LeptonError) as raised:
        await resolve(database, reference)
    assert raised.value.code is code
    assert allowed in raised.value.fields[0].allowed


async def test_versions_of_concurrent_pushes_have_no_gap_and_no_double(database):
    digests = [await commit_folder(database, a=str(number)) for number in range(8)]
    rows = await asyncio.gather(*(push(database, digest) for digest in digests))
    assert sorted(row.version for row, _ in rows) == list(range(1, 9))


async def test_another_project_sees_nothing(database):
    digest = await commit_folder(database, a="1")
    row, _ = await push(database, digest)
    for reference in ("digits", row.id):
        with pytest.raises(LeptonError) as raised:
            await resolve(database, reference, OTHER)
        assert raised.value.code is ErrorCode.NOT_FOUND
    with pytest.raises(LeptonError) as raised:
        await push(database, digest, project=OTHER)
    assert raised.value.code is ErrorCode.FAILED_PRECONDITION


async def test_lists_are_paged(database):
    digest = await commit_folder(database, a="1")
    for name in ("c", "a", "b"):
        await push(database, digest, name)
    rows, _ = await database.read(lambda conn: store.DATASET.list_parents(conn, PROJECT, after="a", size=1))
    assert [row.name for row in rows] == ["b"]
