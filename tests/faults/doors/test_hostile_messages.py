"""What a producer may put into the queue: whatever it is, no code of it runs and the door stays open for the others."""

from __future__ import annotations

import base64
import json
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from celery import Celery
from redis import Redis

from lepton_core.queue import DEAD_LETTER_STREAM, SUBMISSION_QUEUE, SUBMISSION_STREAM, SUBMIT_TASK, reply_stream
from lepton_fixtures.pickles import Harmful
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import most_memory, wait_until

MIB = 1024 * 1024
DEEP = b"[" * 200_000


def envelope(content: bytes, **change: Any) -> bytes:
    """A Celery message as it lies in the queue's list, with `content` as its body."""
    properties = {"body_encoding": "base64", "delivery_tag": str(uuid.uuid4()), "delivery_info": {}, "priority": 0}
    whole: dict[str, Any] = {
        "body": base64.b64encode(content).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": SUBMIT_TASK, "id": str(uuid.uuid4())},
        "properties": properties,
    }
    return json.dumps({**whole, **change}).encode()


def arguments(message: object) -> bytes:
    return json.dumps([[message], {}, {}]).encode()


IN_THE_LIST: dict[str, Callable[[dict[str, Any]], bytes]] = {
    "no JSON": lambda _: b"hello",
    "no UTF-8": lambda _: b"\xff\xfe\x00",
    "no object": lambda _: b"[1]",
    "null": lambda _: b"null",
    "deep": lambda _: DEEP,
    "no properties": lambda _: json.dumps({"body": "x"}).encode(),
    "no delivery tag": lambda m: envelope(arguments(m), properties={"body_encoding": "base64"}),
    "properties that are none": lambda m: envelope(arguments(m), properties=7),
    "headers that are none": lambda m: envelope(arguments(m), headers=[1]),
    "body that is no base64": lambda _: envelope(b"", body="%%%"),
    "body that is a number": lambda _: envelope(b"", body=7),
    "unknown encoding of the body": lambda m: envelope(arguments(m), properties={"body_encoding": "rot13"}),
    "unknown kind": lambda m: envelope(arguments(m), **{"content-type": "application/x-unknown"}),
    "kind that is none": lambda m: envelope(arguments(m), **{"content-type": {}}),
    "unknown characters": lambda m: envelope(arguments(m), **{"content-encoding": "rot13"}),
    "body that is no JSON": lambda _: envelope(b"{"),
    "deep body": lambda _: envelope(DEEP),
    "unknown compression": lambda m: envelope(arguments(m), headers={"task": SUBMIT_TASK, "compression": "x"}),
    "half a character": lambda m: envelope(arguments({**m, "message_id": "m-\ud800"})),
    "half a character within": lambda m: envelope(arguments({**m, "job": {**m["job"], "name": "\ud800"}})),
    "zero character": lambda m: envelope(arguments({**m, "message_id": "m-\0"})),
    "zero character within": lambda m: envelope(arguments({**m, "job": {**m["job"], "labels": {"a": "\0"}}})),
    "number that is none": lambda m: envelope(arguments({**m, "job": {**m["job"], "train": {"epochs": float("nan")}}})),
    "endless number": lambda _: envelope(b"[[" + b"9" * 100_000 + b"], {}, {}]"),
    "too long": lambda m: envelope(arguments({**m, "job": {**m["job"], "name": "x" * 2 * MIB}})),
}

IN_THE_STREAM: dict[str, dict[str, bytes]] = {
    "no UTF-8": {"body": b"\xff\xfe"},
    "deep": {"body": DEEP},
    "deep within": {"body": b'{"message_id": "m", "job": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001},
    "half a character": {"body": rb'{"message_id": "m-\ud800", "job": {}}'},
    "too long": {"body": b" " * 2 * MIB},
    "too many fields": {f"field-{index}": b"x" for index in range(10_000)},
    "pickle": {"body": b"\x80\x04\x95"},
}


@pytest.fixture(scope="module")
def producer(doors: RunningPlatform) -> Iterator[Redis]:
    with Redis.from_url(doors.queue_url("producers"), decode_responses=True) as redis:
        yield redis


@pytest.fixture(scope="module")
def celery(doors: RunningPlatform) -> Iterator[Celery]:
    app = Celery(broker=doors.queue_url("producers"))
    app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
    yield app
    app.close()


@pytest.fixture
def message(job: dict[str, Any]) -> dict[str, Any]:
    return {"message_id": f"m-{uuid.uuid4()}", "job": job}


@pytest.fixture(autouse=True)
def the_door_stays_open(doors: RunningPlatform, producer: Redis, celery: Celery, job: dict[str, Any]) -> Iterator[None]:
    """After each test both ways in take a message, and the gateway is the same process, of about the same size."""
    gateway = doors.part("gateway")["pid"]
    before = most_memory(gateway)
    yield
    for send in (by_stream(producer), by_task(celery)):
        good = {"message_id": f"good-{uuid.uuid4()}", "job": job}
        send(good)
        assert reply_to(producer, good)["status"] == "accepted"
    assert doors.part("gateway")["pid"] == gateway
    assert most_memory(gateway) - before < 100 * MIB


def by_stream(producer: Redis) -> Callable[[dict[str, Any]], object]:
    return lambda message: producer.xadd(SUBMISSION_STREAM, {"body": json.dumps(message)})


def by_task(celery: Celery) -> Callable[[dict[str, Any]], object]:
    return lambda message: celery.send_task(SUBMIT_TASK, args=[message], queue=SUBMISSION_QUEUE)


def reply_to(producer: Redis, message: dict[str, Any]) -> dict[str, str]:
    found: list[dict[str, str]] = []

    def replied() -> bool:
        entries = cast("Any", producer.xrange(reply_stream("intake")))
        found[:] = [fields for _, fields in entries if fields["message_id"] == message["message_id"]]
        return bool(found)

    wait_until(replied, 30, f"a reply to {message['message_id']}")
    return found[0]


@pytest.mark.parametrize("kind", IN_THE_LIST)
def test_a_hostile_entry_of_the_task_queue(producer: Redis, message: dict[str, Any], kind: str) -> None:
    producer.lpush(SUBMISSION_QUEUE, IN_THE_LIST[kind](message))


@pytest.mark.parametrize("kind", IN_THE_STREAM)
def test_a_hostile_entry_of_the_stream(producer: Redis, kind: str) -> None:
    producer.xadd(SUBMISSION_STREAM, cast("Any", IN_THE_STREAM[kind]))


def test_a_pickled_task_is_put_aside_and_never_loaded(
    doors: RunningPlatform, celery: Celery, message: dict[str, Any], tmp_path: Path
) -> None:
    with Redis.from_url(doors.queue_url("operator"), decode_responses=True) as operator:
        before = cast("int", operator.xlen(DEAD_LETTER_STREAM))
        harmful = Harmful(str(tmp_path / "code-ran"))
        celery.send_task(SUBMIT_TASK, args=[message, harmful], queue=SUBMISSION_QUEUE, serializer="pickle")
        wait_until(lambda: operator.xlen(DEAD_LETTER_STREAM) > before, 30, "the dead letter")
    assert not (tmp_path / "code-ran").exists()


@pytest.mark.parametrize("method", ["zlib", "gzip", "bzip2"])
def test_a_compressed_bomb_does_not_go_off(producer: Redis, message: dict[str, Any], method: str) -> None:
    import bz2
    import gzip

    pack = {"zlib": zlib.compress, "gzip": gzip.compress, "bzip2": bz2.compress}[method]
    zeros = pack(b"[" + b" " * 256 * MIB + b"]")
    kind = {"zlib": "application/x-gzip", "gzip": "gzip", "bzip2": "application/x-bz2"}[method]
    headers = {"task": SUBMIT_TASK, "id": "x", "compression": kind}
    producer.lpush(SUBMISSION_QUEUE, envelope(zeros, headers=headers))
