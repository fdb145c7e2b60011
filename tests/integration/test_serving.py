"""From an imported model to answers at every door, and what a moved alias changes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from lepton_fixtures.callers import Caller, key
from lepton_fixtures.packages import adder
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import wait_until
from lepton_fixtures.serving import SERVE_SECONDS, answers, ask, constant_of, deploy, import_version, serve
from lepton_proto.inference import open_inference_pb2 as oip


@pytest.fixture(scope="session")
def caller(platform: RunningPlatform) -> Iterator[Caller]:
    made = Caller(platform, key(platform.api_key))
    yield made
    made.close()


@pytest.fixture
def name() -> str:
    return f"adder-{uuid.uuid4().hex[:8]}"


def test_every_door_gives_the_same_answer_of_the_same_version(caller: Caller, name: str) -> None:
    serve(caller, name, 5.0)
    told = ask(caller, name).json()
    request = oip.ModelInferRequest(model_name=name)
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4]).contents.fp32_contents.extend([0, 0, 0, 0])
    rpc = caller.rpc(caller.models.ModelInfer, request)
    assert list(rpc.outputs[0].contents.fp32_contents) == told["outputs"][0]["data"] == [5, 5, 5, 5]
    assert rpc.parameters["revision_id"].string_param == told["parameters"]["revision_id"]
    body = {"instances": [[0, 0, 0, 0]]}
    for door in (caller.gateway, caller.inference):
        found = door.post(f"/v1/deployments/{name}:predict", json=body).json()["predictions"][0]
        assert found["outputs"]["y"] == [5, 5, 5, 5]
        assert found["revision_id"] == told["parameters"]["revision_id"]


def test_a_prediction_that_was_not_logged_leads_back_to_its_model_version(
    platform: RunningPlatform, caller: Caller, name: str
) -> None:
    """Its id holds the revision's. Of the predictions one in a hundred is logged."""
    serve(caller, name, 5.0)
    answered = [ask(caller, name).json()["parameters"] for _ in range(5)]
    log = platform.home / "inference" / "predictions.jsonl"
    logged = log.read_text() if log.exists() else ""
    unlogged = [parameters for parameters in answered if parameters["prediction_id"] not in logged]
    assert unlogged
    for parameters in unlogged:
        lineage = caller.gateway.get(f"/v1/lineage/{parameters['prediction_id']}").json()
        kinds = {node["id"]: node["kind"] for node in lineage["nodes"]}
        assert kinds[parameters["prediction_id"]] == "prediction"
        assert kinds[parameters["revision_id"]] == "revision"
        assert kinds[parameters["model_version_id"]] == "model_version"


def test_moving_the_alias_changes_what_is_served_and_a_rollback_brings_it_back(caller: Caller, name: str) -> None:
    for constant in (1.0, 2.0):
        import_version(caller, name, adder(constant))
    aliases = f"/v1/models/{name}/aliases/champion"
    caller.gateway.put(aliases, json={"version": 1}).raise_for_status()
    deploy(caller, name, f"{name}@champion")
    wait_until(lambda: answers(caller, name, 1.0), SERVE_SECONDS, "version 1")
    caller.gateway.put(aliases, json={"version": 2}).raise_for_status()
    wait_until(lambda: answers(caller, name, 2.0), SERVE_SECONDS, "version 2")
    caller.gateway.post(f"/v1/deployments/{name}:rollback", json={}).raise_for_status()
    wait_until(lambda: answers(caller, name, 1.0), SERVE_SECONDS, "version 1 again")


def test_a_version_that_cannot_serve_leaves_the_old_one_and_says_why(caller: Caller, name: str) -> None:
    serve(caller, name, 1.0)
    bad = adder(2.0)
    bad["model.onnx"] = bad["model.onnx"].replace(b"Add", b"Odd")
    version = import_version(caller, name, bad)
    deploy(caller, name, f"{name}@{version}")

    def desired() -> dict[str, str]:
        found: dict[str, str] = caller.gateway.get(f"/v1/deployments/{name}").json()["desired"]
        return found

    wait_until(lambda: desired()["state"] == "failed", SERVE_SECONDS, "the revision to fail")
    assert "Odd" in desired()["reason"]
    assert constant_of(ask(caller, name)) == 1.0


def test_a_deleted_deployment_answers_not_found(caller: Caller, name: str) -> None:
    serve(caller, name, 1.0)
    caller.gateway.delete(f"/v1/deployments/{name}").raise_for_status()
    wait_until(lambda: ask(caller, name).status_code == 404, SERVE_SECONDS, "the deployment to be gone")
