"""One small table, one model trained on it and deployed, for all tests of the client and the command."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton import Client, Run
from lepton_fixtures.platform import RunningPlatform

CSV = "width,height,kind\n" + "".join(f"{i % 7},{i % 5},{'wide' if i % 7 > 3 else 'slim'}\n" for i in range(120))
NAME = "shapes"
JOB = {
    "name": NAME,
    "recipe": "tabular",
    "data": f"{NAME}@latest",
    "train": {"target": "kind", "epochs": 3, "seed": 7},
    "register": {"model": NAME},
}


@pytest.fixture(scope="session")
def client(platform: RunningPlatform) -> Iterator[Client]:
    with platform.client() as client:
        yield client


@pytest.fixture(scope="session")
def table(client: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that was pushed as the dataset `shapes`."""
    folder = tmp_path_factory.mktemp("data") / NAME
    folder.mkdir()
    (folder / "train.csv").write_text(CSV)
    client.datasets.push(NAME, folder, progress=False)
    return folder


@pytest.fixture(scope="session")
def trained(client: Client, table: Path) -> Run:
    """A run that registered `shapes` version 1, which is promoted and served."""
    run = client.jobs.submit(JOB, idempotency_key=str(uuid.uuid4()), progress=False).wait(100, progress=False)
    client.models.promote(run.model_version)
    client.deployments.create(NAME, f"{NAME}@champion")
    return run
