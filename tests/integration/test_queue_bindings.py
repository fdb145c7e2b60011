"""Two producers, each bound to a principal and a project of its own."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import httpx
from redis import Redis

from lepton_core.queue import reply_stream
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import wait_until

NAMES = ("shop", "claims")
BINDINGS = [
    {
        "principal": name,
        "project": "default" if name == "shop" else name,
        "stream": f"{name}:submissions",
        "celery_queue": "",
        "dead_letters": f"{name}:dead",
    }
    for name in NAMES
]
MESSAGE = {
    "message_id": "order-1",
    "job": {"name": "job", "recipe": "tabular", "data": "table", "train": {"target": "kind", "epochs": 500}},
}


def test_the_same_message_id_of_two_producers_is_two_runs_each_in_its_project(
    start_platform: Callable[..., RunningPlatform],
) -> None:
    platform = start_platform({"LEPTON_GATEWAY_INTAKE": json.dumps(BINDINGS)})
    with of(platform, platform.api_key) as shop:
        project = shop.post("/v1/projects", json={"name": "claims"}).json()
        key = shop.post("/v1/keys", json={"name": "claims", "role": "operator", "project": project["id"]}).json()
        with of(platform, key["secret"]) as claims, Redis.from_url(platform.queue_url("operator")) as queue:
            for http in (shop, claims):
                push(http)
            runs = {name: accepted(queue, name) for name in NAMES}
            for http, mine, other in ((shop, "shop", "claims"), (claims, "claims", "shop")):
                assert http.get(f"/v1/runs/{runs[mine]}").json()["created_by"] == mine
                assert http.get(f"/v1/runs/{runs[other]}").status_code == 404
                http.post(f"/v1/runs/{runs[mine]}:cancel").raise_for_status()


def of(platform: RunningPlatform, key: str) -> httpx.Client:
    headers = {"authorization": f"Bearer {key}"}
    return httpx.Client(base_url=platform.url("gateway"), headers=headers, timeout=30)


def push(http: httpx.Client) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("table.csv", "width,kind\n" + "1,a\n2,b\n" * 20)
    kind = {"content-type": "application/zip"}
    http.post("/v1/datasets/table/versions", content=archive.getvalue(), headers=kind).raise_for_status()


def accepted(queue: Redis, producer: str) -> str:
    """The run that the producer's message became, after it was sent twice."""
    for _ in range(2):
        queue.xadd(f"{producer}:submissions", {"body": json.dumps(MESSAGE)})
    name = reply_stream(producer)
    wait_until(lambda: queue.xlen(name) == 2, 20, f"replies to {producer}")
    entries: Any = queue.xrange(name)
    assert {fields[b"status"] for _, fields in entries} == {b"accepted"}, entries
    (run_id,) = {fields[b"run_id"].decode() for _, fields in entries}
    return str(run_id)
