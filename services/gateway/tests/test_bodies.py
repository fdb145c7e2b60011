"""JSON bodies of the gateway: bounded before they are read."""

import json
from typing import Any

import pytest

from lepton_core.api import CommitManifestRequest
from lepton_core.api.limits import MAX_REQUEST_BYTES
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity import POLICIES
from lepton_core.objects.inline_batch import MAX_INDEX_BYTES, read_batch
from lepton_gateway.grpc.jobs import JobServicer
from lepton_gateway.http.app import LARGE_BODIES
from lepton_gateway.json_body import parse_request
from lepton_proto.v1 import jobs_pb2


def test_routes_for_large_bodies_exist() -> None:
    assert POLICIES.keys() >= LARGE_BODIES


def test_very_many_unknown_fields_are_one_error() -> None:
    body = json.dumps({f"k{at}": 1 for at in range(100_000)}).encode()
    with pytest.raises(LeptonError, match="100001 fields are unknown or wrong") as caught:
        parse_request(CommitManifestRequest, body, max_bytes=len(body))
    assert caught.value.code is ErrorCode.INVALID
    assert [each.allowed for each in caught.value.fields] == ["files"]


def test_the_limit_is_checked_before_the_body_is_read() -> None:
    with pytest.raises(LeptonError) as caught:
        parse_request(CommitManifestRequest, b"x" * (MAX_REQUEST_BYTES + 1))
    assert caught.value.code is ErrorCode.TOO_LARGE


async def test_a_job_over_grpc_has_the_limit_of_http() -> None:
    unused: Any = None
    request = jobs_pb2.SubmitRequest(idempotency_key="x" * (MAX_REQUEST_BYTES + 1))
    with pytest.raises(LeptonError) as caught:
        await JobServicer(unused, unused).Submit(request, unused)
    assert caught.value.code is ErrorCode.TOO_LARGE


def test_the_index_of_a_batch_is_bounded() -> None:
    line = b"[" + b"[]," * (MAX_INDEX_BYTES // 3) + b"[]]"
    with pytest.raises(LeptonError, match="no index in the first line"):
        read_batch(line + b"\n")
