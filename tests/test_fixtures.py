"""The servers that other tests stand on."""

from __future__ import annotations

from collections.abc import Callable

import redis
from minio import Minio
from sqlalchemy import create_engine, text

from lepton_fixtures.servers import S3Bucket, S3Server, ValkeyServer


def test_each_test_gets_a_database_of_its_own(database_url: str) -> None:
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE only_mine (x integer)"))
    engine.dispose()


def test_queue_server_keeps_what_it_acknowledged_through_a_kill(start_valkey: Callable[[], ValkeyServer]) -> None:
    server = start_valkey()
    with redis.Redis.from_url(server.url) as client:
        entry = client.xadd("stream", {"body": "x"})
    server.kill()
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.xrange("stream")[0][0] == entry


def test_a_shared_queue_server_starts_each_test_empty(valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        assert client.dbsize() == 0


def _client(server: S3Bucket | S3Server) -> Minio:
    return Minio(
        server.endpoint.removeprefix("http://"),
        server.access_key,
        server.secret_key,
        secure=False,
        region=server.region,
    )


def test_bucket_reads_what_was_written(s3: S3Bucket) -> None:
    source = s3.server.data.parent / "source"
    source.write_bytes(b"bytes")
    client = _client(s3)
    client.fput_object(s3.bucket, "a/b", str(source))
    answer = client.get_object(s3.bucket, "a/b")
    try:
        assert answer.read() == b"bytes"
    finally:
        answer.close()
        answer.release_conn()
