"""Live streams over HTTP: what is sent, and that a client which comes back misses and repeats nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import jsonschema_rs
import pytest

from lepton.transport.sse import Message, messages
from lepton_fixtures.processes import wait_until

Submit = Callable[..., httpx.Response]


def read(http: httpx.Client, path: str, count: int, last: str = "", **params: str) -> list[Message]:
    """The first `count` messages of a stream; the connection is cut then."""
    headers = {"last-event-id": last} if last else {}
    found: list[Message] = []
    with http.stream("GET", path, headers=headers, params=params) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        for message in messages(answer.iter_lines()):
            found.append(message)
            if len(found) == count:
                break
    return found


def events_of(http: httpx.Client, subject: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = http.get("/v1/events", params={"subject": subject}).json()["events"]
    return found


@pytest.fixture
def cancelled(http: httpx.Client, submit: Submit, job: dict[str, Any]) -> str:
    """A run that has ended; its events are queued and cancelled, and perhaps running in between."""
    run_id: str = submit(job).json()["id"]
    http.post(f"/v1/runs/{run_id}:cancel")
    wait_until(lambda: http.get(f"/v1/runs/{run_id}").json()["state"] == "cancelled", 30, "the run to end")
    return run_id


def test_events_of_a_run_resume_after_the_last_one_received(http: httpx.Client, cancelled: str) -> None:
    path = f"/v1/runs/{cancelled}/events/stream"
    first, second = read(http, path, 2)
    assert int(first.id) < int(second.id)
    assert json.loads(first.data)["subject"] == cancelled
    assert read(http, path, 1, last=first.id) == [second]


def test_events_of_the_project_are_the_same_by_page_and_by_stream(http: httpx.Client, cancelled: str) -> None:
    wait_until(lambda: len(events_of(http, cancelled)) >= 2, 20, "the events to be numbered")
    page = events_of(http, cancelled)
    streamed = read(http, "/v1/events/stream", len(page), subject=cancelled)
    assert [json.loads(message.data) for message in streamed] == page
    assert len({event["id"] for event in page}) == len(page)


def test_streams_of_an_ended_run_end(http: httpx.Client, cancelled: str) -> None:
    for name in ("metrics", "logs"):
        with http.stream("GET", f"/v1/runs/{cancelled}/{name}/stream") as answer:
            assert [message.event for message in messages(answer.iter_lines())][-1] == "end"


def test_a_stream_of_a_run_that_is_not_there_is_not_found(http: httpx.Client) -> None:
    for name in ("events", "metrics", "logs"):
        assert http.get(f"/v1/runs/run_01ARZ3NDEKTSV4RRFFQ69G5FAV/{name}/stream").status_code == 404


def test_a_position_that_is_none_is_refused(http: httpx.Client, cancelled: str) -> None:
    """Before the stream begins: a browser comes back for ever to one that began and broke off."""
    for path in ("/v1/events", *(f"/v1/runs/{cancelled}/{name}" for name in ("events", "metrics", "logs"))):
        answer = http.get(f"{path}/stream", headers={"last-event-id": "yesterday"})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
        assert answer.json()["errors"][0]["field"] == "Last-Event-ID"


def test_the_api_document_tells_of_keys_problems_and_streams(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    scheme = document["components"]["securitySchemes"]["api_key"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert document["paths"]["/v1/schemas/job.json"]["get"]["security"] == []
    assert document["paths"]["/v1/jobs"]["post"]["security"] == [{"api_key": []}]
    operations = [each for methods in document["paths"].values() for each in methods.values()]
    assert {tuple(each["responses"]["default"]["content"]) for each in operations} == {("application/problem+json",)}
    streams = [each for path, each in document["paths"].items() if path.endswith("/stream")]
    assert len(streams) == 4
    assert {tuple(each["get"]["responses"]["200"]["content"]) for each in streams} == {("text/event-stream",)}


def test_the_schema_of_a_job_file_knows_the_recipes_settings(http: httpx.Client, job: dict[str, Any]) -> None:
    schema = httpx.get(f"{http.base_url}/v1/schemas/job.json").json()
    validator = jsonschema_rs.Draft202012Validator(schema)
    assert validator.is_valid(job)
    assert not validator.is_valid({**job, "train": {"target": "kind", "epochs": -1}})
    assert not validator.is_valid({**job, "train": {"target": "kind", "epoch": 1}})
    assert not validator.is_valid({**job, "recipe": "tabular@2", "train": {}})
