"""Every route and RPC of every service has a row in the one policy table, and every row stands for something."""

import importlib
import pkgutil
from typing import cast

import pytest
from google.protobuf.descriptor import FileDescriptor

import lepton_proto.inference
import lepton_proto.v1
from lepton_core.http.app import methods_of
from lepton_core.identity import POLICIES, Role, methods_without_policy
from lepton_fixtures.applications import gateway_app, inference_app


def all_rpcs() -> set[str]:
    found = set()
    for package in (lepton_proto.v1, lepton_proto.inference):
        for module in pkgutil.iter_modules(package.__path__):
            if module.name.endswith("_pb2"):
                file = cast(FileDescriptor, importlib.import_module(f"{package.__name__}.{module.name}").DESCRIPTOR)
                for service in file.services_by_name.values():
                    found |= {f"/{service.full_name}/{method.name}" for method in service.methods}
    return found


def inference_routes() -> set[str]:
    return set(methods_of(inference_app()))


async def test_every_route_of_the_gateway_has_a_policy() -> None:
    assert methods_without_policy(methods_of(await gateway_app())) == []


def test_every_route_of_inference_has_a_policy() -> None:
    assert methods_without_policy(inference_routes()) == []


def test_every_rpc_has_a_policy() -> None:
    rpcs = all_rpcs()
    assert len(rpcs) > 50
    assert methods_without_policy(rpcs) == []


async def test_every_row_stands_for_a_route_or_rpc_that_exists() -> None:
    real = all_rpcs() | set(methods_of(await gateway_app())) | inference_routes()
    standard = {row for row in POLICIES if row.startswith("/grpc.")} | {
        "GET /", "GET /healthz", "GET /readyz", "GET /openapi.json", "GET /docs", "GET /metrics"
    }  # fmt: skip
    assert set(POLICIES) - real - standard == set()


@pytest.mark.parametrize("method", ["POST /v1/jobs", "/lepton.v1.JobService/Submit"])
def test_the_same_act_needs_the_same_role_over_http_and_grpc(method: str) -> None:
    assert POLICIES[method].role is Role.EDITOR
