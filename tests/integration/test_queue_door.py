"""The queue door: streams and Celery tasks of other systems."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from celery import Celery
from redis import Redis
from redis.exceptions import NoPermissionError

from lepton_core.queue import DEAD_LETTER_STREAM, SUBMISSION_QUEUE, SUBMISSION_STREAM, SUBMIT_TASK, reply_stream
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import wait_until

REPLIES = reply_stream("intake")


@pytest.fixture
def producer(platform: RunningPlatform) -> Iterator[Redis]:
    with Redis.from_url(platform.queue_url("producers"), decode_responses=True) as redis:
        yield redis


@pytest.fixture
def operator(platform: RunningPlatform) -> Iterator[Redis]:
    with Redis.from_url(platform.queue_url("operator"), decode_responses=True) as redis:
        yield redis


@pytest.fixture
def message(job: dict[str, Any], http: httpx.Client) -> Iterator[dict[str, Any]]:
    body = {"message_id": f"m-{uuid.uuid4()}", "job": job}
    yield body
    for run in http.get("/v1/runs", params={"page_size": 1000}).json()["runs"]:
        if run["name"] == job["name"]:
            http.post(f"/v1/runs/{run['id']}:cancel")


def replies_to(redis: Redis, message_id: str) -> list[dict[str, str]]:
    return [fields for _, fields in redis.xrange(REPLIES) if fields["message_id"] == message_id]  # type: ignore[union-attr]


def wait_replies(redis: Redis, message_id: str, count: int) -> list[dict[str, str]]:
    wait_until(lambda: len(replies_to(redis, message_id)) >= count, 20, f"{count} replies to {message_id}")
    return replies_to(redis, message_id)


def test_the_same_message_three_times_is_one_run(producer: Redis, http: httpx.Client, message: dict[str, Any]) -> None:
    for _ in range(3):
        producer.xadd(SUBMISSION_STREAM, {"body": json.dumps(message)})
    replies = wait_replies(producer, message["message_id"], 3)
    assert {reply["status"] for reply in replies} == {"accepted"}
    (run_id,) = {reply["run_id"] for reply in replies}
    assert http.get(f"/v1/runs/{run_id}").json()["name"] == message["job"]["name"]
    assert [reply["created"] for reply in replies].count("true") == 1


def test_a_key_in_the_body_is_shared_with_the_other_doors(
    producer: Redis, message: dict[str, Any], submit: Callable[..., httpx.Response]
) -> None:
    key = str(uuid.uuid4())
    made = submit(message["job"], key).json()["id"]
    producer.xadd(SUBMISSION_STREAM, {"body": json.dumps({**message, "idempotency_key": key})})
    assert wait_replies(producer, message["message_id"], 1)[0]["run_id"] == made


def test_a_message_id_is_no_key_of_the_other_doors(
    producer: Redis, message: dict[str, Any], submit: Callable[..., httpx.Response]
) -> None:
    made = submit(message["job"], message["message_id"]).json()["id"]
    producer.xadd(SUBMISSION_STREAM, {"body": json.dumps(message)})
    assert wait_replies(producer, message["message_id"], 1)[0]["run_id"] != made


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"job": {"name": "x", "recipe": "nothing", "data": "table"}}, "recipe"),
        ({"project": "prj_other"}, "project"),
    ],
)
def test_a_bad_message_becomes_a_dead_letter_with_the_reason(
    producer: Redis, operator: Redis, message: dict[str, Any], change: dict[str, Any], told: str
) -> None:
    producer.xadd(SUBMISSION_STREAM, {"body": json.dumps({**message, **change})})
    (reply,) = wait_replies(producer, message["message_id"], 1)
    assert reply["status"] == "refused"
    assert json.loads(reply["error"])["errors"][0]["field"] == told
    letters = [fields for _, fields in operator.xrange(DEAD_LETTER_STREAM)]  # type: ignore[union-attr]
    letter = next(fields for fields in letters if message["message_id"] in fields["body"])
    assert json.loads(letter["error"]) == json.loads(reply["error"])


@pytest.mark.parametrize("fields", [{"body": "{"}, {"text": "no body"}, {"body": "[1]"}, {"body": ""}])
def test_what_is_no_message_at_all_is_put_aside_and_the_door_goes_on(
    producer: Redis, operator: Redis, message: dict[str, Any], fields: dict[str, str]
) -> None:
    before = operator.xlen(DEAD_LETTER_STREAM)
    producer.xadd(SUBMISSION_STREAM, fields)  # type: ignore[arg-type]
    producer.xadd(SUBMISSION_STREAM, {"body": json.dumps(message)})
    assert wait_replies(producer, message["message_id"], 1)[0]["status"] == "accepted"
    wait_until(lambda: operator.xlen(DEAD_LETTER_STREAM) > before, 20, "the dead letter")
    wait_until(lambda: operator.xlen(SUBMISSION_STREAM) == 0, 20, "answered entries to be deleted")


def test_any_celery_client_submits_by_the_tasks_name(
    platform: RunningPlatform, producer: Redis, http: httpx.Client, message: dict[str, Any]
) -> None:
    celery = Celery(broker=platform.queue_url("producers"))
    celery.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
    for _ in range(2):
        celery.send_task(SUBMIT_TASK, args=[message], queue=SUBMISSION_QUEUE)
    replies = wait_replies(producer, message["message_id"], 2)
    assert {reply["status"] for reply in replies} == {"accepted"}
    (run_id,) = {reply["run_id"] for reply in replies}
    assert http.get(f"/v1/runs/{run_id}").status_code == 200
    celery.close()


def test_a_celery_call_of_something_else_is_put_aside(
    platform: RunningPlatform, producer: Redis, operator: Redis, message: dict[str, Any]
) -> None:
    celery = Celery(broker=platform.queue_url("producers"))
    celery.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
    before = operator.xlen(DEAD_LETTER_STREAM)
    celery.send_task("os.system", args=["true"], queue=SUBMISSION_QUEUE)
    celery.send_task(SUBMIT_TASK, kwargs=message, queue=SUBMISSION_QUEUE)
    assert wait_replies(producer, message["message_id"], 1)[0]["status"] == "accepted"
    assert operator.xlen(DEAD_LETTER_STREAM) == before + 1
    celery.close()


def test_after_flushall_the_door_opens_again_and_skips_nothing(
    producer: Redis, operator: Redis, message: dict[str, Any]
) -> None:
    operator.flushall()
    producer.xadd(SUBMISSION_STREAM, {"body": json.dumps(message)})
    assert wait_replies(producer, message["message_id"], 1)[0]["status"] == "accepted"


def test_a_producer_can_neither_read_what_others_submit_nor_write_replies(producer: Redis) -> None:
    with pytest.raises(NoPermissionError):
        producer.xrange(SUBMISSION_STREAM)
    with pytest.raises(NoPermissionError):
        producer.xadd(REPLIES, {"status": "accepted"})
    with pytest.raises(NoPermissionError):
        producer.flushall()
