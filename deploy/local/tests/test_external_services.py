"""Servers of the user's own that cannot be used: what the start says of them."""

from __future__ import annotations

from typing import Any

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_fixtures.processes import free_port
from lepton_fixtures.servers import S3Bucket, ValkeyServer
from lepton_local.external_services import check_external_services
from lepton_local.settings import LocalSettings, ObjectStore


def said_of(**settings: Any) -> list[str]:
    said: list[str] = []
    check_external_services(LocalSettings(**settings), said.append)
    return said


def store(s3: S3Bucket, **other: str) -> ObjectStore:
    values = {"endpoint": s3.endpoint, "access_key": s3.access_key, "secret_key": s3.secret_key, "bucket": s3.bucket}
    return ObjectStore(**(values | other))


def test_nothing_is_said_of_servers_that_can_be_used(valkey: ValkeyServer, s3: S3Bucket) -> None:
    assert said_of(broker_url=valkey.url, object_store=store(s3)) == []


def test_a_wrong_password_of_the_queue_is_refused_and_not_repeated(valkey: ValkeyServer) -> None:
    with pytest.raises(LeptonError) as refusal:
        said_of(broker_url=valkey.url.replace(valkey.password, "not-the-password"))
    assert refusal.value.code is ErrorCode.FAILED_PRECONDITION
    assert "LEPTON_LOCAL_BROKER_URL" in refusal.value.detail
    assert "not-the-password" not in str(refusal.value)


@pytest.mark.parametrize("url", ["http://me:not-the-password@127.0.0.1:1/0", "redis://:not-the-password@host:port/0"])
def test_what_is_no_url_of_a_queue_is_refused(url: str) -> None:
    with pytest.raises(LeptonError) as refusal:
        said_of(broker_url=url)
    assert refusal.value.code is ErrorCode.INVALID
    assert refusal.value.fields[0].field == "LEPTON_LOCAL_BROKER_URL"
    assert "not-the-password" not in str(refusal.value)


def test_servers_that_are_away_are_named_and_waited_for(s3: S3Bucket) -> None:
    said = said_of(
        broker_url=f"redis://127.0.0.1:{free_port()}/0",
        object_store=store(s3, endpoint=f"http://127.0.0.1:{free_port()}"),
    )
    assert [line.partition(":")[0] for line in said] == ["LEPTON_LOCAL_BROKER_URL", "LEPTON_LOCAL_OBJECT_STORE"]


def test_a_wrong_key_of_the_store_is_said(s3: S3Bucket) -> None:
    (line,) = said_of(object_store=store(s3, secret_key="not-the-key"))
    assert "refused" in line
    assert "not-the-key" not in line


def test_an_endpoint_without_a_scheme_is_refused(s3: S3Bucket) -> None:
    with pytest.raises(LeptonError) as refusal:
        said_of(object_store=store(s3, endpoint="127.0.0.1:9000"))
    assert refusal.value.code is ErrorCode.INVALID
