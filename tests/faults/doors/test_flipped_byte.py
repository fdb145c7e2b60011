"""One byte of a stored model changes, on the object store's disk or in a replica's cache."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lepton import Client
from lepton_core.api import ModelVersion, RevisionState
from lepton_core.errors import ErrorCode, LeptonError
from lepton_fixtures.callers import Caller
from lepton_fixtures.packages import adder
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import wait_until
from lepton_proto.inference import open_inference_pb2 as oip

# Above 256 KiB a file is an object of its own; below, it lies in a pack with others.
SIZES = {"small": 0, "large": 600_000}


@pytest.fixture(scope="module")
def client(doors: RunningPlatform) -> Client:
    return doors.client()


@pytest.fixture
def push(client: Client, tmp_path: Path) -> Callable[..., ModelVersion]:
    """A version of a model that adds `constant`."""

    def make(model: str, constant: float, padding_bytes: int = 0) -> ModelVersion:
        folder = tmp_path / str(constant)
        folder.mkdir(exist_ok=True)
        for name, data in adder(constant, padding_bytes=padding_bytes).items():
            (folder / name).write_bytes(data)
        return client.models.push(model, folder, progress=False)

    return make


def added(caller: Caller, deployment: str) -> tuple[float, float]:
    """What the deployment adds to a number: over HTTP and over gRPC."""
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 0, 0, 0]}]}
    answer = caller.inference.post(f"/v2/models/{deployment}/infer", json=body)
    assert answer.status_code == 200, answer.text
    tensor = oip.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 4])
    tensor.contents.fp32_contents.extend([0, 0, 0, 0])
    reply = caller.rpc(caller.models.ModelInfer, oip.ModelInferRequest(model_name=deployment, inputs=[tensor]))
    return answer.json()["outputs"][0]["data"][0], reply.outputs[0].contents.fp32_contents[0]


def is_ready(client: Client, deployment: str, version: ModelVersion) -> bool:
    good = client.deployments.get(deployment).last_good
    return good is not None and good.model_version_id == version.id


def flip(folder: Path, model: bytes) -> None:
    """Changes one byte in the middle of the one file below `folder` that holds `model`."""
    holders = [path for path in folder.rglob("*") if path.is_file() and model in path.read_bytes()]
    assert len(holders) == 1, holders
    with holders[0].open("r+b") as file:
        place = holders[0].read_bytes().index(model) + len(model) // 2
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("size", SIZES)
def test_a_damaged_version_is_refused_and_the_old_one_serves_until_it_is_healed(
    doors: RunningPlatform,
    client: Client,
    operator: Caller,
    push: Callable[..., ModelVersion],
    size: str,
    tmp_path: Path,
) -> None:
    name, padding = f"adder-{size}-{uuid.uuid4().hex[:8]}", SIZES[size]
    first = push(name, 1.5, padding)
    client.models.promote(first)
    client.deployments.create(name, model=f"{name}@champion")
    wait_until(lambda: is_ready(client, name, first), 30, "the first version to serve")

    second = push(name, 2.5, padding)
    flip(doors.home / "objects", adder(2.5, padding_bytes=padding)["model.onnx"])
    client.models.promote(second)

    wait_until(lambda: desired(client, name).state is RevisionState.FAILED, 30, "the second version to be refused")
    refused = desired(client, name)
    assert refused.model_version_id == second.id
    assert "model.onnx" in refused.reason
    assert is_ready(client, name, first)
    assert added(operator, name) == (1.5, 1.5)
    with pytest.raises(LeptonError) as caught:
        client.models.download(f"{name}@{second.version}", tmp_path / "pulled", progress=False)
    assert caught.value.code in (ErrorCode.CORRUPT, ErrorCode.NOT_FOUND)
    assert not (tmp_path / "pulled" / "model.onnx").exists()

    doors.wait_back("inference", doors.kill("inference"))
    wait_until(lambda: operator.inference.get(f"/v2/models/{name}/ready").status_code == 200, 30, "it to serve again")
    assert added(operator, name) == (1.5, 1.5)

    again = push(name, 2.5, padding)
    assert again.id == second.id
    wait_until(lambda: is_ready(client, name, second), 60, "the healed version to serve")
    assert added(operator, name) == (2.5, 2.5)


def desired(client: Client, deployment: str) -> Any:
    found = client.deployments.get(deployment).desired
    assert found is not None
    return found


def test_a_replica_does_not_believe_its_own_cache(
    doors: RunningPlatform, client: Client, operator: Caller, push: Callable[..., ModelVersion]
) -> None:
    name = f"cached-{uuid.uuid4().hex[:8]}"
    version = push(name, 3.5)
    client.deployments.create(name, model=f"{name}@{version.version}")
    wait_until(lambda: is_ready(client, name, version), 30, "the version to serve")

    flip(doors.home / "inference", adder(3.5)["model.onnx"])
    doors.wait_back("inference", doors.kill("inference"))
    wait_until(lambda: operator.inference.get(f"/v2/models/{name}/ready").status_code == 200, 30, "it to serve again")
    assert added(operator, name) == (3.5, 3.5)
