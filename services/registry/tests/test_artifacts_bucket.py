"""A bucket is one database's alone: what its rows do not name is deleted."""

import asyncio

import pytest

from lepton_core.objects.store import ObjectStore
from lepton_fixtures.databases import create_tables
from lepton_registry.artifacts.bucket import MARK, take
from lepton_registry.main import serve
from lepton_registry.refusal import RefusedToStart


@pytest.fixture
def objects(s3) -> ObjectStore:
    return ObjectStore(s3.endpoint, s3.access_key, s3.secret_key, bucket=s3.bucket)


async def take_as(objects, owner):
    taken = asyncio.Event()
    await take(objects, owner, taken)
    return taken.is_set()


async def test_the_first_takes_it_and_takes_it_again(objects):
    assert await take_as(objects, "prj_one")
    assert await take_as(objects, "prj_one")
    with pytest.raises(RefusedToStart, match=r"prj_one.*delete the object 'lepton-owner'"):
        await take_as(objects, "prj_two")
    objects.delete(MARK)
    assert await take_as(objects, "prj_two")


async def test_the_registry_of_another_database_does_not_start(make_configured, sqlite_url, objects):
    settings, _ = make_configured(sqlite_url)
    create_tables(sqlite_url)
    objects.ensure_bucket()
    objects.put(MARK, b"prj_other")
    with pytest.raises(RefusedToStart, match="belongs to another database"):
        await serve(settings, asyncio.Event(), lambda port: pytest.fail(f"it serves at {port}"))
