"""Collection takes what nothing refers to, later; and never what is in use, or comes into use meanwhile."""

import asyncio
import threading

import pytest
import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import digest_of
from lepton_core.objects.store import ObjectStore
from lepton_fixtures.databases import create_tables
from lepton_registry.artifacts import blobs, collection, keys, packs, store, upload_tokens
from lepton_registry.artifacts.collection import Collector
from lepton_registry.artifacts.manifest import File
from lepton_registry.artifacts.uploads import Uploads
from lepton_registry.database.engine import now_us, open_database
from lepton_registry.database.leadership import Leadership, NotLeader
from lepton_registry.datasets import store as datasets
from lepton_registry.models import store as models
from lepton_registry.runs.attempt_access import AttemptAccess
from lepton_registry.settings import DEFAULT_RETENTION, RetentionSettings

PROJECT, OTHER = "prj_a", "prj_b"
# Negative: what was written in this very microsecond is old enough. Not allowed to an operator, so not validated.
UNUSED_AT_ONCE = {"unused_file_seconds": -1}
PATIENT = DEFAULT_RETENTION.model_copy(update=UNUSED_AT_ONCE)
AT_ONCE = PATIENT.model_copy(update={"deletion_wait_seconds": -1, "orphan_object_seconds": -1})
REFERENCES = [datasets.DATASET.keeps_manifest, models.MODEL.keeps_manifest]


@pytest.fixture
def objects(s3) -> ObjectStore:
    made = ObjectStore(s3.endpoint, s3.access_key, s3.secret_key, bucket=s3.bucket)
    made.ensure_bucket()
    return made


@pytest.fixture
def collect(database, objects):
    async def run(retention: RetentionSettings = AT_ONCE):
        leadership = Leadership(database, alone=True)
        assert await leadership.try_to_lead()
        return await Collector(database, objects, REFERENCES, retention=retention, leadership=leadership).collect()

    return run


@pytest.fixture
def put(database, objects):
    async def run(*contents: bytes, project: str = PROJECT) -> list[File]:
        files = [(digest_of(data), data) for data in contents]
        await packs.put_inline(database, objects, project, files)
        return [File(f"f{number}", digest, len(data)) for number, (digest, data) in enumerate(files)]

    return run


@pytest.fixture
def missing(database):
    async def run(*files: File, project: str = PROJECT) -> int:
        digests = [file.digest for file in files]
        return len(await database.read(lambda conn: blobs.find_missing(conn, project, digests)))

    return run


async def version_of(database, files: list[File], project: str = PROJECT) -> None:
    def work(conn):
        digest = store.commit_manifest(conn, project, files).digest
        datasets.create_version(conn, project, name="kept", manifest_digest=digest)

    await database.write(work)


async def test_what_is_unused_is_marked_waits_and_then_goes(objects, put, missing, collect):
    files = await put(b"unused")
    done = await collect(PATIENT)
    assert (done.marked, done.objects) == (1, 0)
    assert await missing(*files) == 1, "a marked file counts as missing, so that senders send it again"
    assert len(list(objects.list_keys())) == 1, "readers may still hold a URL"
    await collect()
    assert list(objects.list_keys()) == []


async def test_what_a_dataset_or_model_refers_to_stays(database, put, missing, collect):
    in_dataset, in_model = await put(b"data"), await put(b"weights")
    await version_of(database, in_dataset)
    await database.write(
        lambda conn: models.register_version(conn, PROJECT, model="m", files=in_model, signature_json="{}")
    )
    done = await collect()
    assert (done.manifests, done.marked, done.objects, done.orphans) == (0, 0, 0, 0)
    assert await missing(*in_dataset, *in_model) == 0


async def test_a_folder_without_a_reference_goes_with_its_files(database, put, missing, collect):
    files = await put(b"code")
    committed = await database.write(lambda conn: store.commit_manifest(conn, PROJECT, files))
    done = await collect()
    assert (done.manifests, done.marked) == (1, 1)
    with pytest.raises(LeptonError) as raised:
        await database.write(lambda conn: store.require_manifest(conn, PROJECT, committed.digest))
    assert raised.value.code is ErrorCode.NOT_FOUND


async def test_a_reference_in_another_project_keeps_nothing(database, put, missing, collect):
    mine, theirs = await put(b"same"), await put(b"same", project=OTHER)
    await version_of(database, theirs, OTHER)
    await collect()
    assert await missing(*mine) == 1
    assert await missing(*theirs, project=OTHER) == 0


async def test_a_pack_stays_while_one_of_its_files_lives(database, objects, put, missing, collect):
    kept, dropped = await put(b"kept", b"dropped")
    await version_of(database, [kept])
    await collect()
    assert (await missing(kept), await missing(dropped)) == (0, 1)
    assert len(list(objects.list_keys())) == 1


async def test_a_marked_file_is_refused_and_sending_it_again_revives_it(database, objects, put, missing, collect):
    files = await put(b"again")
    await collect(PATIENT)
    with pytest.raises(LeptonError) as raised:
        await database.write(lambda conn: store.commit_manifest(conn, PROJECT, files))
    assert raised.value.code is ErrorCode.FAILED_PRECONDITION
    await put(b"again")
    await version_of(database, files)
    await collect()
    assert await missing(*files) == 0
    [key] = objects.list_keys()
    assert objects.read(key) == b"again"


async def test_a_use_after_the_look_keeps_the_file(database, put, missing):
    files = await put(b"used")
    before = now_us()
    await version_of(database, files)
    await database.write(lambda conn: collection.drop_manifests(conn, [lambda _: sa.false()], before))
    await database.write(lambda conn: collection.mark_dead(conn, before))
    assert await missing(*files) == 0


async def test_objects_that_no_row_names_go_and_strangers_stay(objects, collect):
    objects.put(keys.fresh_key(), b"left by a crash")
    objects.put("artifacts/aa/not-of-our-making", b"?")
    objects.put("logs/run/0", b"another part's")
    assert (await collect(PATIENT)).orphans == 0, "it may be about to get its row"
    assert (await collect()).orphans == 1
    assert sorted(objects.list_keys()) == ["artifacts/aa/not-of-our-making", "logs/run/0"]


async def test_an_upload_that_is_not_completed_in_time_ends(database, objects, collect):
    uploads = Uploads(
        database, objects, AttemptAccess(), retention=DEFAULT_RETENTION.model_copy(update={"upload_seconds": -1})
    )
    ticket = await uploads.create(PROJECT, digest_of(b"x"), 10)
    assert (await collect()).uploads == 1
    row = (await uploads.get(PROJECT, ticket.row.id)).row
    assert (row.state, row.error) == (upload_tokens.FAILED, "it was not completed in time")
    with pytest.raises(LeptonError) as raised:
        await uploads.complete(PROJECT, ticket.row.id, [(1, "etag")])
    assert raised.value.code is ErrorCode.FAILED_PRECONDITION


async def test_a_collector_whose_term_is_over_deletes_nothing(database, objects, put, missing):
    """It was paused in the middle; another process leads now."""
    files = await put(b"unused")
    paused = Leadership(database, alone=True)
    await paused.try_to_lead()
    await Leadership(database, alone=True).try_to_lead()
    with pytest.raises(NotLeader):
        await Collector(database, objects, REFERENCES, retention=AT_ONCE, leadership=paused).collect()
    assert await missing(*files) == 0


async def test_a_folder_that_is_being_committed_keeps_its_files_from_a_collection_that_waits(postgres_url):
    """The collection has chosen the file, and waits for the lock of who just uses it: then it must look again."""
    create_tables(postgres_url)
    database = open_database(postgres_url)
    digest = digest_of(b"used")
    stored = blobs.Stored(digest, 4, "key", 0)
    await database.write(lambda conn: blobs.add(conn, PROJECT, [stored]))
    before = now_us()
    locked, go_on = threading.Event(), threading.Event()

    def commit(conn):
        store.commit_manifest(conn, PROJECT, [File("f", digest, 4)])
        locked.set()
        go_on.wait(10)

    committing = asyncio.create_task(database.write(commit))
    assert await asyncio.to_thread(locked.wait, 10)
    marking = asyncio.create_task(database.write(lambda conn: collection.mark_dead(conn, before)))
    waits = sa.text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = :event")
    async with asyncio.timeout(10):
        while not await database.read(lambda conn: conn.scalar(waits, {"event": "transactionid"})):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    go_on.set()
    await committing
    assert await marking == 0
    assert await database.read(lambda conn: blobs.find_missing(conn, PROJECT, [digest])) == []
    await database.close()
