"""One platform for all tests of its doors; none of them breaks it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lepton_fixtures.archives import zipped
from lepton_fixtures.callers import Caller, key
from lepton_fixtures.platform import RunningPlatform

CSV = b"width,height,kind\n" + b"".join(b"%d,%d,%s\n" % (i % 7, i % 5, b"a" if i % 2 else b"b") for i in range(60))


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the platform's temporary files lie."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="session")
def doors(tmp_path_factory: pytest.TempPathFactory, scratch: Path) -> Iterator[RunningPlatform]:
    """A platform that lets a revoked key in for a second at most."""
    settings = {
        "TMPDIR": str(scratch),
        "LEPTON_GATEWAY_KEY_CACHE_SECONDS": "1",
        "LEPTON_INFERENCE_KEY_CACHE_SECONDS": "1",
    }
    running = RunningPlatform(tmp_path_factory.mktemp("doors") / "home", settings)
    yield running
    running.stop()


@pytest.fixture(scope="session")
def call_as(doors: RunningPlatform) -> Iterator[Callable[[str], Caller]]:
    """A caller for an `authorization` header."""
    made: dict[str, Caller] = {}

    def make(authorization: str) -> Caller:
        return made.setdefault(authorization, Caller(doors, authorization))

    yield make
    for caller in made.values():
        caller.close()


@pytest.fixture(scope="session")
def operator(doors: RunningPlatform, call_as: Callable[[str], Caller]) -> Caller:
    return call_as(key(doors.api_key))


@pytest.fixture(scope="session")
def new_key(operator: Caller) -> Callable[..., dict[str, Any]]:
    """Makes a key; answers its `key` and `secret`."""

    def make(role: str, **more: Any) -> dict[str, Any]:
        body = {"name": f"{role}-{uuid.uuid4().hex[:8]}", "role": role, **more}
        answer = operator.gateway.post("/v1/keys", json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    return make


@pytest.fixture(scope="session")
def table(operator: Caller) -> dict[str, Any]:
    """A version of the dataset `table`."""
    archive = zipped({"table.csv": CSV})
    answer = operator.gateway.post("/v1/datasets/table/versions", content=archive.content, headers=archive.headers)
    assert answer.status_code == 201, answer.text
    version: dict[str, Any] = answer.json()["version"]
    return version


@pytest.fixture(scope="session")
def job(table: dict[str, Any]) -> dict[str, Any]:
    """Accepted, and never started: no worker here has so many ranks."""
    train = {"target": "kind", "epochs": 1}
    return {"name": "waiting", "recipe": "tabular", "data": "table@1", "train": train, "resources": {"ranks": 64}}
