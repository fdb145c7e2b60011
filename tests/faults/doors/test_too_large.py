"""Bodies beyond the limit: refused at every door, and never held in memory.

32 MiB unless set otherwise; 1 MiB where a body carries no data.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import pytest

from lepton_core.api.limits import MAX_REQUEST_BYTES
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.grpc.client import open_sync_channel
from lepton_core.ids import digest_of
from lepton_core.objects.inline_batch import MEDIA_TYPE
from lepton_fixtures.callers import Caller
from lepton_fixtures.packages import SIGNATURE
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import most_memory

MIB = 1024 * 1024
GIB = 1024 * MIB
LIMIT = 32 * MIB
# What a part may grow by: a body of the allowed size, which may be read before it turns out to be longer, and copies.
HELD = 3 * LIMIT

# Each door: the part it belongs to, and its path.
HTTP_DOORS = {
    "jobs": ("gateway", "/v1/jobs"),
    "dataset archive": ("gateway", "/v1/datasets/big/versions"),
    "code archive": ("gateway", "/v1/code"),
    "small files": ("gateway", "/v1/artifacts:inline"),
    "predict through the gateway": ("gateway", "/v1/deployments/none:predict"),
    "predict": ("inference", "/v1/deployments/none:predict"),
    "infer": ("inference", "/v2/models/none/infer"),
    "index": ("inference", "/v2/repository/index"),
}
SMALL_DOORS = ("jobs", "index")
RPC_DOORS = {
    "submit": ("gateway", "/lepton.v1.JobService/Submit"),
    "watch": ("gateway", "/lepton.v1.JobService/Watch"),
    "infer": ("inference", "/inference.GRPCInferenceService/ModelInfer"),
}


@pytest.fixture
def frugal(doors: RunningPlatform) -> Iterator[Callable[[str], None]]:
    """After the test, the part that was named has not grown beyond what it had before, and is the same process."""
    before: dict[str, tuple[int, int]] = {}

    def begin(part: str) -> None:
        pid = doors.part(part)["pid"]
        before[part] = (pid, most_memory(pid))

    yield begin
    for part, (pid, bytes_held) in before.items():
        assert doors.part(part)["pid"] == pid, f"{part} was restarted"
        assert most_memory(pid) - bytes_held < HELD, part


@pytest.mark.parametrize("door", HTTP_DOORS)
def test_two_gib_are_refused_before_they_come(doors: RunningPlatform, frugal: Callable[[str], None], door: str) -> None:
    part, path = HTTP_DOORS[door]
    frugal(part)
    answer = declared(doors, part, path, 2 * GIB)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"too_large" in answer
    allowed = MAX_REQUEST_BYTES if door in SMALL_DOORS else LIMIT
    assert f"{allowed} bytes".encode() in answer


def declared(doors: RunningPlatform, part: str, path: str, size: int, token: str = "") -> bytes:
    """What a server says to a head alone, whose body never comes."""
    url = httpx.URL(doors.url(part))
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {url.host}\r\nauthorization: Bearer {token or doors.api_key}\r\n"
        f"idempotency-key: huge\r\ncontent-type: application/zip\r\ncontent-length: {size}\r\n\r\n"
    )
    with socket.create_connection((url.host, url.port), timeout=30) as connection:
        connection.sendall(head.encode())
        answer = b""
        while more := connection.recv(65536):
            answer += more
        return answer


def test_a_stranger_is_not_told_the_limit(doors: RunningPlatform) -> None:
    for part, path in (HTTP_DOORS["jobs"], HTTP_DOORS["infer"]):
        assert declared(doors, part, path, 2 * GIB, "lpk_x").startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("size", [str(2**63), str(2**64), "9" * 5000, "-1", "1e9", "0x10", "1, 1"])
def test_a_length_that_is_none_is_refused(doors: RunningPlatform, size: str) -> None:
    for part in ("gateway", "inference"):
        url = httpx.URL(doors.url(part))
        head = f"POST /v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {doors.api_key}\r\n"
        head += f"content-length: {size}\r\n\r\n"
        with socket.create_connection((url.host, url.port), timeout=30) as connection:
            connection.sendall(head.encode())
            status = connection.recv(4096)[:12]
            assert status == b"" or status[9:10] == b"4", status


@pytest.mark.parametrize("door", HTTP_DOORS)
def test_an_endless_body_of_unknown_length_is_cut_off(
    doors: RunningPlatform, frugal: Callable[[str], None], operator: Caller, door: str
) -> None:
    part, path = HTTP_DOORS[door]
    frugal(part)
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 2 * GIB:
            sent += MIB
            yield b" " * MIB

    headers = {"idempotency-key": "huge", "content-type": "application/zip"}
    try:
        answer = getattr(operator, part).post(path, content=endless(), headers=headers)
        # A door that does not know the kind of the body, or the name in its path, may say so without reading it.
        assert answer.status_code in (404, 413, 415), answer.text
    except httpx.WriteError:
        pass  # the server closed the connection on a sender that went on regardless
    assert sent < 4 * LIMIT


@pytest.mark.parametrize("door", RPC_DOORS)
@pytest.mark.parametrize("megabytes", [33, 200])
def test_a_message_beyond_the_limit_is_refused(
    doors: RunningPlatform, frugal: Callable[[str], None], door: str, megabytes: int
) -> None:
    part, method = RPC_DOORS[door]
    frugal(part)
    with unlimited(doors, part) as channel, pytest.raises(LeptonError) as caught:
        call(channel, method, bytes(megabytes * MIB))
    assert caught.value.code is ErrorCode.TOO_LARGE, caught.value


@pytest.mark.parametrize("door", RPC_DOORS)
def test_a_message_that_unpacks_beyond_the_limit_is_refused(
    doors: RunningPlatform, frugal: Callable[[str], None], door: str
) -> None:
    part, method = RPC_DOORS[door]
    frugal(part)
    with unlimited(doors, part) as channel, pytest.raises(LeptonError) as caught:
        call(channel, method, bytes(512 * MIB), compression=grpc.Compression.Gzip)
    assert caught.value.code is ErrorCode.TOO_LARGE, caught.value


def unlimited(doors: RunningPlatform, part: str) -> Any:
    """A client that would send anything."""
    return open_sync_channel(doors.url(f"{part}_grpc"), doors.api_key, max_message_bytes=-1, timeout_seconds=60)


def call(channel: grpc.Channel, method: str, message: bytes, **options: Any) -> None:
    if method.endswith("Watch"):
        list(channel.unary_stream(method)(message, **options))
    else:
        channel.unary_unary(method)(message, **options)


def test_a_body_that_unpacks_is_taken_as_it_is(operator: Caller, doors: RunningPlatform) -> None:
    """Nothing here inflates HTTP bodies: a bomb by `content-encoding` stays what it is, bytes that are no JSON."""
    for part, path in (HTTP_DOORS["jobs"], HTTP_DOORS["infer"], HTTP_DOORS["predict"]):
        headers = {"content-encoding": "gzip", "content-type": "application/json", "idempotency-key": "bomb"}
        answer = getattr(operator, part).post(path, content=gzip.compress(bytes(64 * MIB)), headers=headers)
        assert answer.status_code in (404, 415, 422), answer.text


ENDLESS_HEADS = {
    "headers": (b"GET /healthz HTTP/1.1\r\nhost: x\r\n", b"x-more: " + b"y" * 8000 + b"\r\n"),
    "many short headers": (b"GET /healthz HTTP/1.1\r\nhost: x\r\n", b"a: b\r\n" * 1000),
    "one header": (b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-more: ", b"y" * 8000),
    "path": (b"GET /", b"y" * 8000),
    "method": (b"", b"G" * 8000),
    "trailers": (b"POST /v1/jobs HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n" * 1000),
    "chunk extension": (b"POST /v1/jobs HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1;", b"y" * 8000),
}


@pytest.mark.parametrize("part", ["gateway", "inference"])
@pytest.mark.parametrize("kind", ENDLESS_HEADS)
def test_a_head_without_end_is_cut_off(
    doors: RunningPlatform, frugal: Callable[[str], None], kind: str, part: str
) -> None:
    frugal(part)
    url = httpx.URL(doors.url(part))
    begin, more = ENDLESS_HEADS[kind]
    sent = 0
    with socket.create_connection((url.host, url.port), timeout=30) as connection:
        connection.sendall(begin)
        with contextlib.suppress(ConnectionError):
            while sent < 64 * MIB:
                connection.sendall(more)
                sent += len(more)
    assert sent < 64 * MIB
    assert httpx.get(f"{doors.url(part)}/healthz").status_code == 200


def test_a_batch_that_lies_about_its_sizes_is_refused(operator: Caller) -> None:
    digest = digest_of(SIGNATURE)
    for size in (-1, 0, 2**63, 10**30, len(SIGNATURE) + 1, 1.5, "1", None):
        body = json.dumps([[digest, size]]).encode() + b"\n" + SIGNATURE
        answer = operator.gateway.post("/v1/artifacts:inline", content=body, headers={"content-type": MEDIA_TYPE})
        assert answer.status_code in (413, 422), (size, answer.text)
