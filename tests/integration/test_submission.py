"""One submit() behind three doors: what a key means, what is refused, and that the doors agree."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Callable
from typing import Any

import grpc
import httpx
import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.grpc.client import open_sync_channel
from lepton_core.ids import new_id
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import wait_until
from lepton_proto.v1 import jobs_pb2, jobs_pb2_grpc, recipes_pb2, workers_pb2, workers_pb2_grpc

Submit = Callable[..., httpx.Response]


def as_message(job: dict[str, Any], key: str) -> jobs_pb2.SubmitRequest:
    spec = {name: value for name, value in job.items() if name != "train"}
    return jobs_pb2.SubmitRequest(
        spec=jobs_pb2.JobSpec(**spec, train_json=json.dumps(job["train"])), idempotency_key=key
    )


def test_the_same_key_gives_the_same_run_and_another_body_is_a_conflict(submit: Submit, job: dict[str, Any]) -> None:
    key = str(uuid.uuid4())
    first, again = submit(job, key), submit(job, key)
    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json()["id"] == again.json()["id"]
    other = submit({**job, "name": "other"}, key)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


def test_the_same_key_gives_the_same_run_whichever_door_it_came_through(
    submit: Submit, job: dict[str, Any], rpc: grpc.Channel
) -> None:
    key = str(uuid.uuid4())
    made = submit(job, key).json()["id"]
    stub = jobs_pb2_grpc.JobServiceStub(rpc)
    assert stub.Submit(as_message(job, key)).run.id == made
    with pytest.raises(LeptonError) as caught:
        stub.Submit(as_message({**job, "name": "other"}, key))
    assert caught.value.code is ErrorCode.CONFLICT


def test_a_known_key_answers_although_latest_has_moved(submit: Submit, job: dict[str, Any], http: httpx.Client) -> None:
    key = str(uuid.uuid4())
    name = f"moving-{uuid.uuid4().hex[:8]}"
    moving = {**job, "data": name}
    version = push_text(http, name, "width,kind\n" + "1,a\n2,b\n" * 20)
    made = submit(moving, key).json()
    push_text(http, name, "width,kind\n" + "3,a\n4,b\n" * 20)
    again = submit(moving, key)
    assert (again.status_code, again.json()["id"]) == (200, made["id"])
    assert again.json()["dataset_version_id"] == version["id"]


def test_a_known_key_answers_although_the_catalogue_has_moved(
    platform: RunningPlatform, submit: Submit, job: dict[str, Any]
) -> None:
    """The answer got lost; then a worker with a newer version of the recipe came, under which the job is no job."""
    recipe, key = f"moving.{uuid.uuid4().hex[:8]}", str(uuid.uuid4())
    moving = {**job, "recipe": recipe, "train": {"old": 1}}
    worker_id = announce(platform, recipe, "1", {"old": {}})
    made = submit(moving, key)
    assert made.status_code == 202, made.text
    announce(platform, recipe, "2", {"new": {}}, worker_id)
    # The gateway believes for a few seconds that version 1 is the newest one.
    wait_until(lambda: submit(moving).status_code == 422, 20, "the newer version to refuse the job")
    again = submit(moving, key)
    assert (again.status_code, again.json()["id"]) == (200, made.json()["id"])
    assert again.json()["recipe_version"] == "1"
    other = submit({**moving, "train": {"old": 2}}, key)
    assert (other.status_code, other.json()["code"]) == (409, "conflict")


def announce(
    platform: RunningPlatform, recipe: str, version: str, properties: dict[str, Any], worker_id: str = ""
) -> str:
    """A worker that takes no work; its id."""
    token = (platform.home / "keys" / "trainer.token").read_text().strip()
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    request = workers_pb2.RegisterWorkerRequest(
        id=worker_id or new_id("wrk"),
        hostname="host",
        incarnation=int(version),
        recipes=[recipes_pb2.Recipe(name=recipe, version=version, title="Moving", schema_json=json.dumps(schema))],
        max_ranks=1,
    )
    with open_sync_channel(platform.url("registry_grpc"), token) as channel:
        return str(workers_pb2_grpc.WorkerServiceStub(channel).RegisterWorker(request).worker.id)


def push_text(http: httpx.Client, name: str, text: str) -> dict[str, Any]:
    import io
    import zipfile

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("table.csv", text)
    answer = http.post(
        f"/v1/datasets/{name}/versions", content=archive.getvalue(), headers={"content-type": "application/zip"}
    )
    assert answer.status_code == 201, answer.text
    version: dict[str, Any] = answer.json()["version"]
    return version


@pytest.mark.parametrize(
    ("change", "field", "told"),
    [
        ({"recipe": "vision.unknown"}, "recipe", "vision.classifier@2"),
        ({"train": {"target": "kind", "learning_rate": -1}}, "train.learning_rate", "> 0"),
        ({"train": {"target": "kind", "learning_rat": 1}}, "train.learning_rat", "learning_rate"),
        ({"train": {}}, "train.target", ""),
        ({"data": "nowhere"}, "data", ""),
        ({"data": "table@99"}, "data", ""),
        ({"data": "../table"}, "data", ""),
        ({"name": "a b"}, "name", ""),
        ({"name": ""}, "name", ""),
        ({"resources": {"ranks": 0}}, "resources.ranks", "1"),
        ({"retries": -1}, "retries", "0"),
        ({"epochs": 3}, "epochs", ""),
        ({"labels": {"a b": "c"}}, "labels.a b", ""),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_wrong_field_is_named_with_what_is_allowed(
    submit: Submit, job: dict[str, Any], change: dict[str, Any], field: str, told: str
) -> None:
    answer = submit({**job, **change})
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    found = next(each for each in problem["errors"] if each["field"].startswith(field))
    assert told in found["allowed"] + found["message"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"name": NaN}', b"[" * 10_000], ids=lambda body: repr(body[:8])
)
def test_what_is_no_json_object_is_refused(submit: Submit, body: bytes) -> None:
    answer = submit(body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")


@pytest.mark.parametrize("key", ["", "x" * 256, "a\u0007b"])
def test_a_key_is_needed(http: httpx.Client, rpc: grpc.Channel, job: dict[str, Any], key: str) -> None:
    with pytest.raises(LeptonError) as caught:
        jobs_pb2_grpc.JobServiceStub(rpc).Submit(as_message(job, key))
    assert caught.value.code is ErrorCode.INVALID
    assert caught.value.fields[0].field == "idempotency_key"
    assert http.post("/v1/jobs", json=job).status_code == 422


def test_refusals_have_the_same_code_over_http_and_grpc(submit: Submit, job: dict[str, Any], rpc: grpc.Channel) -> None:
    stub = jobs_pb2_grpc.JobServiceStub(rpc)
    for change in ({"recipe": "vision.unknown"}, {"data": "nowhere"}, {"train": {"target": 1}}):
        over_http = submit({**job, **change}).json()
        with pytest.raises(LeptonError) as caught:
            stub.Submit(as_message({**job, **change}, str(uuid.uuid4())))
        assert caught.value.code == over_http["code"]
        assert caught.value.fields[0].field == over_http["errors"][0]["field"]


def test_a_body_beyond_the_limit_is_refused_without_being_read(platform: RunningPlatform) -> None:
    sent = 0

    def endless() -> Any:
        nonlocal sent
        while sent < 2 * 1024**3:
            sent += 1024 * 1024
            yield b" " * (1024 * 1024)

    headers = {"authorization": f"Bearer {platform.api_key}", "idempotency-key": "huge"}
    try:
        answer = httpx.post(platform.url("gateway") + "/v1/jobs", content=endless(), headers=headers, timeout=30)
        assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    except httpx.WriteError:
        pass  # the server closed the connection on a sender that went on regardless
    assert sent < 256 * 1024 * 1024


def test_a_declared_body_beyond_the_limit_is_refused_before_it_comes(platform: RunningPlatform) -> None:
    url = httpx.URL(platform.url("gateway"))
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nhost: {url.host}\r\nauthorization: Bearer {platform.api_key}\r\n"
        f"idempotency-key: huge\r\ncontent-length: {2 * 1024**3}\r\n\r\n"
    )
    with socket.create_connection((url.host, url.port), timeout=30) as connection:
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_run_is_watched_until_its_end_over_grpc(submit: Submit, job: dict[str, Any], rpc: grpc.Channel) -> None:
    run_id = submit(job).json()["id"]
    stub = jobs_pb2_grpc.JobServiceStub(rpc)
    seen = []
    for answer in stub.Watch(jobs_pb2.WatchRequest(id=run_id)):
        seen.append(answer.run.state)
        if len(seen) == 1:
            stub.Cancel(jobs_pb2.CancelRequest(id=run_id))
    assert stub.Get(jobs_pb2.GetRequest(id=run_id)).run.state == seen[-1]
    assert run_id in {run.id for run in stub.List(jobs_pb2.ListRequest()).runs}


def test_runs_are_found_by_their_labels_over_http_and_grpc(
    submit: Submit, job: dict[str, Any], rpc: grpc.Channel, http: httpx.Client
) -> None:
    run_id = submit(job | {"name": "labelled", "labels": {"team": "vision", "note": "a=b"}}).json()["id"]
    submit(job | {"name": "labelled", "labels": {"team": "speech"}})
    stub = jobs_pb2_grpc.JobServiceStub(rpc)
    wanted = {"team": "vision", "note": "a=b"}
    assert [run.id for run in stub.List(jobs_pb2.ListRequest(labels=wanted)).runs] == [run_id]
    assert [run.id for run in stub.List(jobs_pb2.ListRequest(id_prefix=run_id[:-1], name="labelled")).runs] == [run_id]
    assert not stub.List(jobs_pb2.ListRequest(labels=wanted, name="other")).runs
    found = http.get("/v1/runs", params={"label": ["team=vision", "note=a=b"]}).json()["runs"]
    assert [run["id"] for run in found] == [run_id]
    refused = http.get("/v1/runs", params={"label": "team"})
    assert refused.json()["code"] == "invalid"
    assert "NAME=VALUE" in refused.text
