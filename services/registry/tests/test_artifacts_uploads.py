"""Big files: ticket → parts → completed → hashed → committed, through crashes and outages."""

import asyncio
import contextlib
import time
import urllib.error
import urllib.request
from random import Random

import pytest
import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import digest_of
from lepton_core.objects.store import ObjectStore
from lepton_registry.artifacts import attempt_files, blobs, upload_tokens
from lepton_registry.artifacts.read_urls import ReadUrls
from lepton_registry.artifacts.uploads import Uploads
from lepton_registry.runs.attempt_access import AttemptAccess

PROJECT, OTHER = "prj_a", "prj_b"
PART = 5 * 1024 * 1024
BIG = Random(7).randbytes(PART + 1000)
DIGEST = digest_of(BIG)


@pytest.fixture
def objects(s3) -> ObjectStore:
    store = ObjectStore(s3.endpoint, s3.access_key, s3.secret_key, bucket=s3.bucket)
    store.ensure_bucket()
    return store


@pytest.fixture
def uploads(database, objects) -> Uploads:
    return Uploads(database, objects, AttemptAccess(), min_part_bytes=PART, retry_seconds=0.05)


def send(url: str, data: bytes) -> str:
    request = urllib.request.Request(url, data=data, method="PUT")
    with urllib.request.urlopen(request) as response:
        return response.headers["ETag"].strip('"')


async def send_parts(ticket, data: bytes) -> list[tuple[int, str]]:
    parts = ticket.parts
    return [
        (part.number, await asyncio.to_thread(send, part.url, data[part.offset : part.offset + part.bytes]))
        for part in parts
    ]


async def settled(uploads: Uploads, upload_id: str, seconds: float = 20):
    deadline = time.monotonic() + seconds
    while (ticket := await uploads.get(PROJECT, upload_id)).row.state == upload_tokens.VERIFYING:
        assert time.monotonic() < deadline, "the upload was not verified in time"
        await asyncio.sleep(0.02)
    return ticket.row


async def test_parts_become_an_artifact_that_no_url_can_change(database, objects, uploads):
    ticket = await uploads.create(PROJECT, DIGEST, len(BIG))
    assert [(part.number, part.offset, part.bytes) for part in ticket.parts] == [(1, 0, PART), (2, PART, 1000)]
    parts = await send_parts(ticket, BIG)
    assert await database.read(lambda conn: blobs.find_missing(conn, PROJECT, [DIGEST])) == [DIGEST]
    await uploads.complete(PROJECT, ticket.row.id, parts)
    row = await settled(uploads, ticket.row.id)
    assert (row.state, row.error) == ("committed", "")
    [place] = await ReadUrls(database, objects).locate(PROJECT, [DIGEST])
    assert (place.offset, place.bytes) == (0, len(BIG))
    with pytest.raises(urllib.error.HTTPError) as refused:
        await asyncio.to_thread(send, ticket.parts[0].url, b"other bytes")
    refused.value.close()
    assert refused.value.code == 404
    assert (await uploads.complete(PROJECT, row.id, parts)).row.state == "committed", "asking again is harmless"


async def test_a_file_that_is_verified_after_its_attempt_has_ended_is_noted_for_nobody(database, uploads, scene):
    worker = await scene.worker()

    async def noted(attempt) -> list[str]:
        statement = sa.select(attempt_files.SENT.c.digest).where(attempt_files.SENT.c.attempt_id == attempt.id)
        return await database.read(lambda conn: list(conn.scalars(statement)))

    for ended in (False, True):
        data = BIG + bytes([ended])
        attempt = await scene.started(worker)
        ticket = await uploads.create(PROJECT, digest_of(data), len(data), attempt_id=attempt.id, may_know=False)
        parts = await send_parts(ticket, data)
        if ended:
            await scene.finish(attempt.id, "failed", final=True)
        await uploads.complete(PROJECT, ticket.row.id, parts)
        assert (await settled(uploads, ticket.row.id)).state == "committed"
        assert await noted(attempt) == ([] if ended else [digest_of(data)])
        if ended:
            await database.write(
                lambda conn, id_=attempt.id: attempt_files.record(conn, AttemptAccess(), id_, [DIGEST])
            )
        else:
            await scene.finish(attempt.id, "failed", final=True)
        assert await noted(attempt) == []


@pytest.mark.parametrize(
    ("digest", "size", "said"),
    [(digest_of(b"claimed"), len(BIG), "have the digest"), (DIGEST, len(BIG) + 5, "part 2 has 1000 bytes, not 1005")],
)
async def test_other_bytes_than_promised_fail_and_leave_nothing(database, objects, uploads, digest, size, said):
    ticket = await uploads.create(PROJECT, digest, size)
    await uploads.complete(PROJECT, ticket.row.id, await send_parts(ticket, BIG))
    row = await settled(uploads, ticket.row.id)
    assert row.state == "failed"
    assert said in row.error
    assert await database.read(lambda conn: blobs.find_missing(conn, PROJECT, [digest])) == [digest]
    deadline = time.monotonic() + 10
    while list(objects.list_keys("artifacts/")):
        assert time.monotonic() < deadline, "the bytes should be gone"
        await asyncio.sleep(0.02)
    with pytest.raises(LeptonError) as raised:
        await uploads.complete(PROJECT, row.id, [(1, "x"), (2, "x")])
    assert raised.value.code in (ErrorCode.FAILED_PRECONDITION, ErrorCode.INVALID)


async def test_a_part_with_more_bytes_than_its_own_fails_before_the_parts_are_joined(objects, uploads):
    ticket = await uploads.create(PROJECT, DIGEST, len(BIG))
    sent = (BIG[:PART], b"x" * 200_000)
    parts = [
        (part.number, await asyncio.to_thread(send, part.url, data))
        for part, data in zip(ticket.parts, sent, strict=True)
    ]
    await uploads.complete(PROJECT, ticket.row.id, parts)
    row = await settled(uploads, ticket.row.id)
    assert (row.state, row.error) == ("failed", "part 2 has 200000 bytes, not 1000")
    with pytest.raises(LeptonError) as gone:
        objects.part_sizes(row.object_key, row.multipart_id)
    assert gone.value.code is ErrorCode.NOT_FOUND, "its parts are dropped"


async def test_a_wrong_etag_fails_with_a_reason(uploads):
    ticket = await uploads.create(PROJECT, DIGEST, len(BIG))
    await send_parts(ticket, BIG)
    await uploads.complete(PROJECT, ticket.row.id, [(1, "0" * 32), (2, "0" * 32)])
    row = await settled(uploads, ticket.row.id)
    assert (row.state, "join the parts" in row.error) == ("failed", True)


async def test_missing_parts_are_named(uploads):
    ticket = await uploads.create(PROJECT, DIGEST, len(BIG))
    with pytest.raises(LeptonError) as raised:
        await uploads.complete(PROJECT, ticket.row.id, [(1, "etag")])
    assert raised.value.fields[0].allowed == "each of the numbers 1 to 2 once"


async def test_a_file_that_is_there_needs_no_upload(uploads):
    ticket = await uploads.create(PROJECT, DIGEST, len(BIG))
    await uploads.complete(PROJECT, ticket.row.id, await send_parts(ticket, BIG))
    await settled(uploads, ticket.row.id)
    again = await uploads.create(PROJECT, DIGEST, len(BIG))
    assert (again.row.state, list(again.parts)) == ("committed", [])


async def test_of_two_uploads_of_the_same_file_one_object_stays(database, objects, uploads):
    made = [await uploads.create(PROJECT, DIGEST, len(BIG)) for _ in range(2)]
    for ticket in made:
        await uploads.complete(PROJECT, ticket.row.id, await send_parts(ticket, BIG))
    states = [(await settled(uploads, ticket.row.id)).state for ticket in made]
    assert states == ["committed", "committed"]
    deadline = time.monotonic() + 10
    while len(keys := list(objects.list_keys("artifacts/"))) > 1:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    found = await database.read(lambda conn: blobs.find(conn, PROJECT, DIGEST))
    assert keys == [found.object_key]


@pytest.mark.parametrize("crashed", ["before the store put it together", "after"])
async def test_a_restarted_registry_goes_on_where_the_old_one_fell(database, objects, uploads, crashed):
    ticket = await uploads.create(PROJECT, DIGEST, len(BIG))
    parts = await send_parts(ticket, BIG)
    await database.write(lambda conn: upload_tokens.complete(conn, PROJECT, ticket.row.id, parts))
    if crashed == "after":
        objects.complete_multipart(ticket.row.object_key, ticket.row.multipart_id, parts)
    restarted = Uploads(database, objects, AttemptAccess(), retry_seconds=0.05)
    running = asyncio.create_task(restarted.run())
    assert (await settled(restarted, ticket.row.id)).state == "committed"
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_an_outage_of_the_store_delays_and_loses_nothing(database, start_s3, caplog):
    server = start_s3()
    objects = ObjectStore(server.endpoint, server.access_key, server.secret_key, bucket="lepton")
    objects.ensure_bucket()
    uploads = Uploads(database, objects, AttemptAccess(), min_part_bytes=PART, retry_seconds=0.05)
    ticket = await uploads.create(PROJECT, DIGEST, len(BIG))
    parts = await send_parts(ticket, BIG)
    objects.complete_multipart(ticket.row.object_key, ticket.row.multipart_id, parts)
    server.kill()
    with pytest.raises(LeptonError) as raised:
        await uploads.create(PROJECT, digest_of(b"other"), 10)
    assert raised.value.code is ErrorCode.UNAVAILABLE
    assert (await uploads.complete(PROJECT, ticket.row.id, parts)).row.state == "verifying"
    running = asyncio.create_task(uploads.run())
    deadline = time.monotonic() + 20
    while "is not verified yet" not in caplog.text:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    assert (await uploads.get(PROJECT, ticket.row.id)).row.state == "verifying"
    server.start()
    assert (await settled(uploads, ticket.row.id)).state == "committed"
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_a_ticket_is_of_its_project_alone(uploads):
    ticket = await uploads.create(PROJECT, DIGEST, len(BIG))
    for call in (uploads.get(OTHER, ticket.row.id), uploads.complete(OTHER, ticket.row.id, [(1, "x"), (2, "x")])):
        with pytest.raises(LeptonError) as raised:
            await call
        assert raised.value.code is ErrorCode.NOT_FOUND


@pytest.mark.parametrize("size", [0, -1, 1 << 50])
async def test_a_size_out_of_range_is_refused(uploads, size):
    with pytest.raises(LeptonError) as raised:
        await uploads.create(PROJECT, DIGEST, size)
    assert raised.value.code is ErrorCode.INVALID
