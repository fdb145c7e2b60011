"""What the integration tests share: a small table on the platform, and callers of its doors."""

from __future__ import annotations

import io
import json
import uuid
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import httpx
import pytest

from lepton_core.grpc.client import open_sync_channel
from lepton_fixtures.platform import RunningPlatform

CSV = "width,height,kind\n" + "".join(f"{i % 7},{i % 5},{'a' if i % 2 else 'b'}\n" for i in range(60))


@pytest.fixture(scope="session")
def http(platform: RunningPlatform) -> Iterator[httpx.Client]:
    """The gateway, with the operator's key."""
    headers = {"authorization": f"Bearer {platform.api_key}"}
    with httpx.Client(base_url=platform.url("gateway"), headers=headers, timeout=30) as client:
        yield client


@pytest.fixture(scope="session")
def rpc(platform: RunningPlatform) -> Iterator[grpc.Channel]:
    """The gateway's gRPC door, with the operator's key."""
    with open_sync_channel(platform.url("gateway_grpc"), platform.api_key) as channel:
        yield channel


@pytest.fixture(scope="session")
def table(http: httpx.Client) -> str:
    """A dataset of one small CSV file; answers its name."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("table.csv", CSV)
    answer = http.post(
        "/v1/datasets/table/versions", content=archive.getvalue(), headers={"content-type": "application/zip"}
    )
    assert answer.status_code in (200, 201), answer.text
    return "table"


@pytest.fixture
def job(table: str) -> dict[str, Any]:
    """A job that is accepted; it never succeeds in the time that a test takes, and needs not."""
    return {
        "name": f"job-{uuid.uuid4().hex[:8]}",
        "recipe": "tabular",
        "data": f"{table}@latest",
        "train": {"target": "kind", "epochs": 500},
        "retries": 0,
    }


@pytest.fixture
def submit(http: httpx.Client) -> Iterator[Callable[..., httpx.Response]]:
    """Submits over HTTP; what it made is cancelled after the test."""
    made: set[str] = set()

    def call(body: Any, key: str | None = None) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body)
        headers = {"idempotency-key": key or str(uuid.uuid4()), "content-type": "application/json"}
        answer = http.post("/v1/jobs", content=content, headers=headers)
        if answer.status_code in (200, 202):
            made.add(answer.json()["id"])
        return answer

    yield call
    for run_id in made:
        http.post(f"/v1/runs/{run_id}:cancel")
