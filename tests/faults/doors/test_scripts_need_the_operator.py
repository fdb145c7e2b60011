"""A script runs as the worker's own user, so it takes the operator's key, whichever door it comes through."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from redis import Redis

from lepton_core.queue import SUBMISSION_STREAM, reply_stream
from lepton_fixtures.archives import zipped
from lepton_fixtures.callers import Caller, key, of_http, of_rpc
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import wait_until
from lepton_proto.v1 import jobs_pb2


@pytest.fixture(scope="module")
def code(operator: Caller) -> str:
    archive = zipped({"train.py": b"print('ran')\n"})
    answer = operator.gateway.post("/v1/code", content=archive.content, headers=archive.headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["code"])


@pytest.fixture
def script(code: str) -> dict[str, Any]:
    # So many ranks that it waits: what is asked here is only whether it is let in.
    return {"name": "script", "script": {"entry": "train.py", "code": code}, "resources": {"ranks": 64}}


@pytest.mark.parametrize("role", ["viewer", "editor", "admin"])
def test_other_keys_are_refused_over_http_and_grpc(
    script: dict[str, Any], new_key: Callable[..., dict[str, Any]], call_as: Callable[[str], Caller], role: str
) -> None:
    caller = call_as(key(new_key(role)["secret"]))
    sent = {"idempotency-key": str(uuid.uuid4())}
    code, told = of_http(caller.gateway.post("/v1/jobs", json=script, headers=sent))
    spec = jobs_pb2.JobSpec(name="script", script=jobs_pb2.ScriptSpec(**script["script"]))
    request = jobs_pb2.SubmitRequest(spec=spec, idempotency_key=str(uuid.uuid4()))
    assert code == of_rpc(lambda: caller.rpc(caller.jobs.Submit, request))[0] == "permission_denied"
    assert role in told
    assert caller.gateway.get("/v1/runs").status_code == 200


def test_the_operators_key_is_taken(operator: Caller, script: dict[str, Any]) -> None:
    answer = operator.gateway.post("/v1/jobs", json=script, headers={"idempotency-key": str(uuid.uuid4())})
    assert answer.status_code == 202, answer.text
    run = answer.json()["id"]
    assert operator.gateway.post(f"/v1/runs/{run}:cancel").status_code == 202


def test_a_retry_of_the_operators_script_takes_the_operators_key_too(
    operator: Caller, script: dict[str, Any], new_key: Callable[..., dict[str, Any]], call_as: Callable[[str], Caller]
) -> None:
    """Or else an editor would run again, whenever they like, what the operator ran once."""
    made = operator.gateway.post("/v1/jobs", json=script, headers={"idempotency-key": str(uuid.uuid4())})
    run = made.json()["id"]
    operator.gateway.post(f"/v1/runs/{run}:cancel")
    editor = call_as(key(new_key("editor")["secret"]))
    again = editor.gateway.post(f"/v1/runs/{run}:retry", headers={"idempotency-key": str(uuid.uuid4())})
    assert of_http(again)[0] == "permission_denied", again.text
    retried = operator.gateway.post(f"/v1/runs/{run}:retry", headers={"idempotency-key": str(uuid.uuid4())})
    assert retried.status_code == 202, retried.text
    operator.gateway.post(f"/v1/runs/{retried.json()['id']}:cancel")


@pytest.fixture
def producer(doors: RunningPlatform) -> Iterator[Redis]:
    with Redis.from_url(doors.queue_url("producers"), decode_responses=True) as redis:
        yield redis


def test_a_producer_of_the_queue_cannot_submit_one(producer: Redis, script: dict[str, Any]) -> None:
    message_id = f"m-{uuid.uuid4()}"
    producer.xadd(SUBMISSION_STREAM, {"body": json.dumps({"message_id": message_id, "job": script})})

    def replies() -> list[dict[str, str]]:
        entries = cast("Any", producer.xrange(reply_stream("intake")))
        return [fields for _, fields in entries if fields["message_id"] == message_id]

    wait_until(replies, 30, "the reply")
    assert replies()[0]["status"] == "refused"
    assert json.loads(replies()[0]["error"])["code"] == "permission_denied"
