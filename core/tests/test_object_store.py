"""The object store on a real S3 server."""

import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import httpx
import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import digest_of
from lepton_core.objects.ranges import is_range, range_header
from lepton_core.objects.store import ObjectStore
from lepton_fixtures.servers import S3Bucket, S3Server

PART_BYTES = 5 * 1024 * 1024


@pytest.fixture
def store(s3: S3Bucket) -> ObjectStore:
    store = ObjectStore(s3.endpoint, s3.access_key, s3.secret_key, bucket=s3.bucket, region=s3.region)
    store.ensure_bucket()
    return store


def fails(code: ErrorCode) -> AbstractContextManager[pytest.ExceptionInfo[LeptonError]]:
    return pytest.raises(LeptonError, check=lambda error: error.code is code)


def test_what_is_put_is_read_whole_and_in_ranges(store: ObjectStore) -> None:
    data = secrets.token_bytes(3_000_000)
    store.put("packs/a", data)
    assert store.read("packs/a") == data
    assert store.read("packs/a", 1_000, 500) == data[1_000:1_500]
    assert store.read("packs/a", 1_000, 0) == b""
    assert store.read("packs/a", len(data) - 5) == data[-5:]
    assert store.digest("packs/a") == (digest_of(data), len(data))
    assert store.size("packs/a") == len(data)


def test_empty_objects_exist(store: ObjectStore) -> None:
    store.put("empty", b"")
    assert store.size("empty") == 0
    assert store.read("empty") == b""


def test_what_is_not_there(store: ObjectStore) -> None:
    assert store.size("nothing") is None
    with fails(ErrorCode.NOT_FOUND):
        store.read("nothing")
    store.delete("nothing")


def test_a_range_beyond_the_end_is_corrupt(store: ObjectStore) -> None:
    store.put("short", b"12345")
    with fails(ErrorCode.CORRUPT):
        store.read("short", 3, 10)
    with fails(ErrorCode.CORRUPT):
        store.read("short", 30, 10)


def test_listing_and_deleting(store: ObjectStore) -> None:
    for key in ("x/1", "x/y/2", "z"):
        store.put(key, b"1")
    assert sorted(store.list_keys("x/")) == ["x/1", "x/y/2"]
    store.delete("x/1")
    assert sorted(store.list_keys()) == ["x/y/2", "z"]


def test_the_bucket_is_made_once(s3_server: S3Server) -> None:
    store = ObjectStore(s3_server.endpoint, s3_server.access_key, s3_server.secret_key, bucket="fresh-bucket")
    store.ensure_bucket()
    store.ensure_bucket()
    store.put("k", b"v")
    assert store.read("k") == b"v"


def test_a_large_file_by_presigned_parts(store: ObjectStore) -> None:
    data = secrets.token_bytes(PART_BYTES + 1234)
    upload = store.create_multipart("up/1")
    etags = []
    for number, part in enumerate((data[:PART_BYTES], data[PART_BYTES:]), 1):
        answer = httpx.put(store.part_url("up/1", upload, number, 60), content=part, trust_env=False)
        assert answer.status_code == 200
        etags.append((number, answer.headers["etag"]))
    assert store.size("up/1") is None, "nothing is visible before the upload is completed"
    store.complete_multipart("up/1", upload, list(reversed(etags)))
    assert store.digest("up/1") == (digest_of(data), len(data))
    late = httpx.put(store.part_url("up/1", upload, 1, 60), content=b"other", trust_env=False)
    assert late.status_code >= 400
    assert store.digest("up/1")[0] == digest_of(data)
    with fails(ErrorCode.NOT_FOUND):
        store.complete_multipart("up/1", upload, etags)


def test_an_upload_whose_parts_did_not_arrive(store: ObjectStore) -> None:
    upload = store.create_multipart("up/2")
    with pytest.raises(LeptonError) as caught:
        store.complete_multipart("up/2", upload, [(1, "0" * 32)])
    assert caught.value.code is ErrorCode.INVALID
    store.abort_multipart("up/2", upload)
    store.abort_multipart("up/2", upload)
    assert httpx.put(store.part_url("up/2", upload, 1, 60), content=b"x", trust_env=False).status_code == 404


def test_a_read_url_gives_its_object_and_range_and_no_other(store: ObjectStore) -> None:
    store.put("mine", b"0123456789")
    store.put("other", b"secret")
    url = store.read_url("mine", 60)
    answer = httpx.get(url, headers={"range": range_header(2, 3)}, trust_env=False)
    assert is_range(answer.status_code, answer.headers, 2, 3)
    assert answer.content == b"234"
    assert httpx.get(url.replace("/mine?", "/other?"), trust_env=False).status_code == 403
    assert httpx.get(url.partition("?")[0], trust_env=False).status_code >= 400
    assert httpx.put(url, content=b"x", trust_env=False).status_code == 403


def test_urls_are_signed_for_the_address_that_clients_use(s3: S3Bucket) -> None:
    port = s3.endpoint.rpartition(":")[2]
    store = ObjectStore(
        s3.endpoint, s3.access_key, s3.secret_key, bucket=s3.bucket, public_url=f"http://localhost:{port}"
    )
    store.ensure_bucket()
    store.put("k", b"v")
    url = store.read_url("k", 60)
    assert url.startswith(f"http://localhost:{port}/")
    assert httpx.get(url, trust_env=False).content == b"v"
    assert httpx.get(url.replace("localhost", "127.0.0.1"), trust_env=False).status_code == 403


def test_wrong_credentials_are_no_verdict_on_the_request(s3: S3Bucket) -> None:
    store = ObjectStore(s3.endpoint, s3.access_key, "wrong", bucket=s3.bucket)
    with fails(ErrorCode.UNAVAILABLE):
        store.put("k", b"v")


def test_a_dead_store_is_unavailable_soon_and_back_when_it_is(start_s3: Callable[[], S3Server]) -> None:
    server = start_s3()
    store = ObjectStore(server.endpoint, server.access_key, server.secret_key, bucket="fresh")
    store.ensure_bucket()
    server.stop()
    started = time.monotonic()
    for call in (lambda: store.put("k", b"v"), lambda: store.read("k"), lambda: store.size("k")):
        with fails(ErrorCode.UNAVAILABLE):
            call()
    assert time.monotonic() - started < 5
    server.start()
    store.put("k", b"v")
    assert store.read("k") == b"v"


@pytest.mark.parametrize(
    ("status", "headers", "right"),
    [
        (206, {"content-range": "bytes 5-14/100"}, True),
        (200, {"content-range": "bytes 5-14/100"}, True),
        (206, {"content-range": "bytes 5-11/12"}, False),
        (206, {"content-range": "bytes 0-9/100"}, False),
        (206, {}, False),
        (200, {"content-length": "10"}, False),
        (404, {"content-range": "bytes 5-14/100"}, False),
    ],
)
def test_which_answers_hold_the_bytes_asked_for(status: int, headers: dict[str, str], right: bool) -> None:
    assert is_range(status, headers, 5, 10) is right
    assert is_range(200, {"content-length": "10"}, 0, 10)


@pytest.mark.parametrize("url", ["", "127.0.0.1:9000", "ftp://h", "http://h/path", "http://", "https://h?x=1"])
def test_an_address_that_is_none(url: str) -> None:
    with fails(ErrorCode.INVALID):
        ObjectStore(url, "a", "b", bucket="c")
