"""A model that is deployed and asked: y = x + constant, of which every version answers differently."""

from __future__ import annotations

import httpx

from lepton_fixtures.archives import zipped
from lepton_fixtures.callers import Caller
from lepton_fixtures.packages import Package, adder
from lepton_fixtures.processes import wait_until

SERVE_SECONDS = 30


def import_version(caller: Caller, model: str, package: Package) -> int:
    """Through the public door; the number of the version."""
    archive = zipped(package)
    answer = caller.gateway.post(f"/v1/models/{model}/versions", content=archive.content, headers=archive.headers)
    assert answer.status_code == 201, answer.text
    number: int = answer.json()["version"]["version"]
    return number


def deploy(caller: Caller, name: str, reference: str) -> None:
    answer = caller.gateway.post("/v1/deployments", json={"name": name, "model": reference})
    if answer.status_code == 409:
        answer = caller.gateway.patch(f"/v1/deployments/{name}", json={"model": reference})
    assert answer.status_code in (200, 201), answer.text


def ask(caller: Caller, name: str) -> httpx.Response:
    """One row of zeros, over the Open Inference Protocol."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 0, 0, 0]}
    return caller.inference.post(f"/v2/models/{name}/infer", json={"inputs": [tensor]})


def constant_of(answer: httpx.Response) -> float:
    assert answer.status_code == 200, answer.text
    first: float = answer.json()["outputs"][0]["data"][0]
    return first


def serve(caller: Caller, name: str, constant: float) -> int:
    """A new version of the model `name`, deployed under the same name, when it answers."""
    version = import_version(caller, name, adder(constant))
    deploy(caller, name, f"{name}@{version}")
    wait_until(lambda: answers(caller, name, constant), SERVE_SECONDS, f"{name} to answer {constant}")
    return version


def answers(caller: Caller, name: str, constant: float) -> bool:
    answer = ask(caller, name)
    return answer.status_code == 200 and constant_of(answer) == constant
