"""What each server answers to somebody without a token: health, reflection, its own description. Nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from lepton_core.grpc.client import open_sync_channel
from lepton_core.identity import attempt_token
from lepton_core.ids import new_id
from lepton_fixtures.callers import of_rpc
from lepton_fixtures.platform import RunningPlatform

RPC_SERVERS = {
    "gateway_grpc": {"lepton.v1.JobService"},
    "inference_grpc": {"inference.GRPCInferenceService"},
    "registry_grpc": {f"lepton.v1.{name}Service" for name in ("Run", "Attempt", "Artifact", "Key", "Project", "Event")},
}
FOR_EVERYBODY = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
# The protocol wants these two answered; they say no more than a health check does.
OPEN_RPCS = {"/inference.GRPCInferenceService/ServerLive", "/inference.GRPCInferenceService/ServerReady"}
OPEN_ROUTES = {
    "gateway": {"/v1/schemas/job.json"},
    "inference": {"/v2/health/live", "/v2/health/ready"},
}
UNLISTED = ["/healthz", "/readyz", "/openapi.json", "/docs", "/docs/assets/start.js"]
METHODS = ("get", "post", "put", "patch", "delete")


@pytest.fixture(params=RPC_SERVERS)
def server(request: pytest.FixtureRequest, doors: RunningPlatform) -> Iterator[tuple[str, grpc.Channel]]:
    with open_sync_channel(doors.url(request.param)) as channel:
        yield request.param, channel


def services(channel: grpc.Channel) -> dict[str, Any]:
    """Descriptors by name, as reflection tells them."""
    database = ProtoReflectionDescriptorDatabase(channel)
    pool = DescriptorPool(database)
    return {name: pool.FindServiceByName(name) for name in database.get_services()}


def test_reflection_and_health_need_no_token(server: tuple[str, grpc.Channel]) -> None:
    name, channel = server
    found = services(channel)
    assert FOR_EVERYBODY | RPC_SERVERS[name] <= set(found)
    health = health_pb2_grpc.HealthStub(channel)
    for service in ("", *RPC_SERVERS[name]):
        answer = health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING, service


def test_every_other_rpc_needs_one(server: tuple[str, grpc.Channel]) -> None:
    _, channel = server
    methods = [
        (f"/{service}/{method.name}", method)
        for service, descriptor in services(channel).items()
        if service not in FOR_EVERYBODY
        for method in descriptor.methods
    ]
    assert methods
    # Bytes that are no message of any kind: who may not call learns nothing about their form.
    answers = {path: of_rpc(lambda path=path, method=method: send(channel, path, method)) for path, method in methods}
    closed = {path: code for path, (code, _) in answers.items() if path not in OPEN_RPCS}
    assert closed == dict.fromkeys(closed, "unauthenticated")
    assert {code for path, (code, _) in answers.items() if path in OPEN_RPCS} <= {"invalid"}


def send(channel: grpc.Channel, path: str, method: Any, request: bytes = b"\xff") -> None:
    if method.server_streaming:
        list(channel.unary_stream(path)(request))
    else:
        channel.unary_unary(path)(request)


POOL_RPCS = {"/lepton.v1.AttemptService/Claim", "/lepton.v1.WorkerService/RegisterWorker"}


def told_at_the_registry(doors: RunningPlatform, token: str) -> dict[str, str]:
    """The code of each of the registry's RPCs for a caller who sends nothing of use."""
    with open_sync_channel(doors.url("registry_grpc"), token) as channel:
        return {
            f"/{service}/{method.name}": of_rpc(
                lambda path=f"/{service}/{method.name}", method=method: send(channel, path, method, b"")
            )[0]
            for service, descriptor in services(channel).items()
            if service not in FOR_EVERYBODY
            for method in descriptor.methods
        }


def test_the_registry_is_closed_to_keys_of_people(doors: RunningPlatform) -> None:
    assert set(told_at_the_registry(doors, doors.api_key).values()) <= {"permission_denied", "unauthenticated"}


def test_a_worker_may_announce_itself_and_ask_for_work_and_nothing_else(doors: RunningPlatform) -> None:
    token = (doors.home / "keys" / "trainer.token").read_text().strip()
    answers = told_at_the_registry(doors, token)
    assert {path for path, code in answers.items() if code != "permission_denied"} == POOL_RPCS


def test_the_token_of_no_attempt_reaches_nothing(doors: RunningPlatform) -> None:
    secret = (doors.home / "keys" / "attempt-tokens.secret").read_bytes().strip()
    answers = told_at_the_registry(doors, attempt_token(new_id("att"), secret))
    assert set(answers.values()) <= {"permission_denied", "unauthenticated"}


def test_a_method_that_nobody_offers_is_not_there(server: tuple[str, grpc.Channel]) -> None:
    _, channel = server
    for path in ("/lepton.v1.JobService/Delete", "/lepton.v1.AdminService/Shutdown", "/x"):
        assert of_rpc(lambda path=path: channel.unary_unary(path)(b""))[0] == "unimplemented"


@pytest.mark.parametrize("name", OPEN_ROUTES)
def test_every_other_route_needs_one(doors: RunningPlatform, name: str) -> None:
    with httpx.Client(base_url=doors.url(name), timeout=30) as client:
        paths = client.get("/openapi.json").json()["paths"]
        answers = {
            f"{method} {path}": client.request(method, path.replace("{", "").replace("}", "")).status_code
            for path, methods in paths.items()
            for method in methods
            if method in METHODS
        }
        assert len(answers) > 5
        is_open = {call for call, status in answers.items() if status != 401}
        assert {call.partition(" ")[2] for call in is_open} == OPEN_ROUTES[name]
        assert {path: client.get(path).status_code for path in UNLISTED} == dict.fromkeys(UNLISTED, 200)


@pytest.mark.parametrize(
    "path", ["/metrics", "/debug", "/v1", "/v1/runs/../keys", "/v1//runs", "/V1/runs", "/v2/models"]
)
def test_a_path_that_nobody_offers_is_not_there(doors: RunningPlatform, path: str) -> None:
    for name in OPEN_ROUTES:
        assert httpx.get(doors.url(name) + path).status_code in (401, 404, 405)
