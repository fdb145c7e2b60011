"""Small files: one object for a batch; only within the project; damage is found, confirmed, healed."""

import urllib.request

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import digest_of
from lepton_core.objects.inline_batch import MAX_FILE_BYTES
from lepton_core.objects.store import ObjectStore
from lepton_registry.artifacts import blobs, packs, store
from lepton_registry.artifacts.manifest import File
from lepton_registry.artifacts.read_urls import ReadUrls

PROJECT, OTHER = "prj_a", "prj_b"


@pytest.fixture
def objects(s3) -> ObjectStore:
    store = ObjectStore(s3.endpoint, s3.access_key, s3.secret_key, bucket=s3.bucket)
    store.ensure_bucket()
    return store


@pytest.fixture
def reading(database, objects) -> ReadUrls:
    return ReadUrls(database, objects)


def keys(objects: ObjectStore) -> list[str]:
    return list(objects.list_keys("artifacts/"))


async def put(database, objects, *contents: bytes, project: str = PROJECT):
    files = [(digest_of(data), data) for data in contents]
    return await packs.put_inline(database, objects, project, files)


async def missing(database, *contents: bytes, project: str = PROJECT) -> list[str]:
    digests = [digest_of(data) for data in contents]
    return await database.read(lambda conn: blobs.find_missing(conn, project, digests))


def fetch(place) -> bytes:
    request = urllib.request.Request(place.url)
    request.add_header("Range", f"bytes={place.offset}-{place.offset + place.bytes - 1}")
    with urllib.request.urlopen(request) as response:
        return response.read()


async def test_a_batch_is_one_object_and_each_file_a_range_of_it(database, objects, reading):
    contents = [b"one", b"two two", b"three"]
    await put(database, objects, *contents, b"one")
    assert len(keys(objects)) == 1
    found = await reading.locate(PROJECT, [digest_of(data) for data in contents])
    assert [fetch(place) for place in found] == contents
    assert len({place.url for place in found}) == 1


async def test_what_is_there_is_not_written_again(database, objects):
    await put(database, objects, b"one")
    await put(database, objects, b"one")
    assert len(keys(objects)) == 1


async def test_an_empty_file_is_a_file(database, objects, reading):
    await put(database, objects, b"")
    [place] = await reading.locate(PROJECT, [digest_of(b"")])
    assert place.bytes == 0


async def test_one_wrong_digest_and_nothing_is_stored(database, objects):
    files = [(digest_of(b"good"), b"good"), (digest_of(b"claimed"), b"sent")]
    with pytest.raises(LeptonError) as raised:
        await packs.put_inline(database, objects, PROJECT, files)
    assert raised.value.code is ErrorCode.INVALID
    assert raised.value.fields[0].field == "files[1].digest"
    assert keys(objects) == []
    assert len(await missing(database, b"good")) == 1


async def test_what_is_too_big_to_travel_inline_is_refused(database, objects):
    with pytest.raises(LeptonError) as raised:
        await put(database, objects, b"x" * (MAX_FILE_BYTES + 1))
    assert raised.value.code is ErrorCode.TOO_LARGE


async def test_a_digest_of_another_project_gives_nothing(database, objects, reading):
    await put(database, objects, b"secret")
    assert len(await missing(database, b"secret", project=OTHER)) == 1
    for call in (reading.locate(OTHER, [digest_of(b"secret")]), reading.report_damage(OTHER, digest_of(b"secret"))):
        with pytest.raises(LeptonError) as raised:
            await call
        assert raised.value.code is ErrorCode.NOT_FOUND
    with pytest.raises(LeptonError) as raised:
        await database.write(
            lambda conn: store.commit_manifest(conn, OTHER, [File("a", digest_of(b"secret"), len(b"secret"))])
        )
    assert raised.value.code is ErrorCode.FAILED_PRECONDITION


async def test_a_flipped_byte_is_confirmed_and_the_next_upload_heals_it(database, objects, reading, s3):
    await put(database, objects, b"neighbour", b"victim")
    [key] = keys(objects)
    path = s3.folder / key
    path.write_bytes(path.read_bytes().replace(b"victim", b"victiM"))
    digest = digest_of(b"victim")
    assert not await reading.report_damage(PROJECT, digest_of(b"neighbour")), "sound bytes stay believed"
    assert await reading.report_damage(PROJECT, digest)
    with pytest.raises(LeptonError) as raised:
        await reading.locate(PROJECT, [digest])
    assert raised.value.code is ErrorCode.CORRUPT
    with pytest.raises(LeptonError) as raised:
        await database.write(lambda conn: store.require(conn, PROJECT, [digest]))
    assert raised.value.code is ErrorCode.CORRUPT
    assert await missing(database, b"victim") == [digest]
    await put(database, objects, b"victim")
    [place] = await reading.locate(PROJECT, [digest])
    assert fetch(place) == b"victim"


@pytest.mark.parametrize("harm", ["torn", "gone"])
async def test_a_torn_or_lost_object_is_damage(database, start_s3, harm):
    server = start_s3()
    objects = ObjectStore(server.endpoint, server.access_key, server.secret_key, bucket="lepton")
    objects.ensure_bucket()
    await put(database, objects, b"x" * 1000)
    [key] = keys(objects)
    path = server.data / "lepton" / key
    # A crash of the store is where torn files come from; it also forgets what it knew of the file.
    server.kill()
    if harm == "torn":
        path.write_bytes(b"x" * 500)
    else:
        path.unlink()
    server.start()
    assert await ReadUrls(database, objects).report_damage(PROJECT, digest_of(b"x" * 1000))


async def test_a_copy_is_verified(database, objects, reading, s3, tmp_path):
    await put(database, objects, b"sound", b"rotten")
    await reading.copy(PROJECT, digest_of(b"sound"), tmp_path / "sound")
    assert (tmp_path / "sound").read_bytes() == b"sound"
    [key] = keys(objects)
    path = s3.folder / key
    path.write_bytes(path.read_bytes().replace(b"rotten", b"rotteN"))
    with pytest.raises(LeptonError) as raised:
        await reading.copy(PROJECT, digest_of(b"rotten"), tmp_path / "rotten")
    assert raised.value.code is ErrorCode.CORRUPT
    assert len(await missing(database, b"rotten")) == 1


async def test_while_the_store_is_down_nothing_half_written_is_seen(database, start_s3):
    server = start_s3()
    objects = ObjectStore(server.endpoint, server.access_key, server.secret_key, bucket="lepton")
    objects.ensure_bucket()
    server.kill()
    with pytest.raises(LeptonError) as raised:
        await put(database, objects, b"one")
    assert raised.value.code is ErrorCode.UNAVAILABLE
    assert len(await missing(database, b"one")) == 1
    server.start()
    await put(database, objects, b"one")
    assert await missing(database, b"one") == []


async def test_a_manifest_is_paged_and_committed_once(database, objects):
    await put(database, objects, b"1")
    files = [File(f"f{number}", digest_of(b"1"), 1) for number in range(5)]
    first = await database.write(lambda conn: store.commit_manifest(conn, PROJECT, files))
    again = await database.write(lambda conn: store.commit_manifest(conn, PROJECT, files))
    assert again == first
    page, after = await database.read(lambda conn: store.page(conn, PROJECT, first.digest, "", 3))
    rest, end = await database.read(lambda conn: store.page(conn, PROJECT, first.digest, after, 3))
    assert [*page, *rest] == files
    assert end == ""
    with pytest.raises(LeptonError, match="no such manifest"):
        await database.read(lambda conn: store.page(conn, OTHER, first.digest, "", 3))


async def test_a_manifest_with_another_size_than_the_file_is_refused(database, objects):
    await put(database, objects, b"12")
    with pytest.raises(LeptonError) as raised:
        await database.write(lambda conn: store.commit_manifest(conn, PROJECT, [File("a", digest_of(b"12"), 3)]))
    assert raised.value.code is ErrorCode.INVALID
