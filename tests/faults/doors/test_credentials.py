"""Who has no valid key hears the same words at every public door, over HTTP and over gRPC."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lepton_core.identity import Principal, PrincipalKind, Role, attempt_token, encode_acting, new_api_key
from lepton_core.ids import new_id
from lepton_fixtures.callers import Answer, Caller, key, of_http, of_rpc
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import wait_until
from lepton_proto.inference import open_inference_pb2 as oip
from lepton_proto.v1 import jobs_pb2

REFUSED: Answer = ("unauthenticated", "the credentials are missing, not known, revoked or expired")


def at_every_door(caller: Caller) -> dict[str, Answer]:
    """What a reading caller is told."""
    infer = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1], "data": [0]}]}
    post, rpc = caller.inference.post, caller.rpc
    return {
        "gateway: HTTP": of_http(caller.gateway.get("/v1/runs")),
        "gateway: submit over HTTP": of_http(caller.gateway.post("/v1/jobs", json={})),
        "gateway: stream over HTTP": of_http(caller.gateway.get("/v1/runs/run_x/events/stream")),
        "gateway: gRPC": of_rpc(lambda: rpc(caller.jobs.List, jobs_pb2.ListRequest())),
        "gateway: submit over gRPC": of_rpc(lambda: rpc(caller.jobs.Submit, jobs_pb2.SubmitRequest())),
        "gateway: stream over gRPC": of_rpc(lambda: caller.stream(caller.jobs.Watch, jobs_pb2.WatchRequest(id="x"))),
        "gateway: predict": of_http(caller.gateway.post("/v1/deployments/none:predict", json={"row": {}})),
        "inference: HTTP": of_http(caller.inference.get("/v2")),
        "inference: infer over HTTP": of_http(post("/v2/models/none/infer", json=infer)),
        "inference: predict over HTTP": of_http(post("/v1/deployments/none:predict", json={"row": {}})),
        "inference: gRPC": of_rpc(lambda: rpc(caller.models.ServerMetadata, oip.ServerMetadataRequest())),
        "inference: infer over gRPC": of_rpc(
            lambda: rpc(caller.models.ModelInfer, oip.ModelInferRequest(model_name="none"))
        ),
    }


def refused_everywhere(caller: Caller) -> bool:
    return set(at_every_door(caller).values()) == {REFUSED}


def flipped(token: str) -> str:
    return token[:-1] + ("0" if token[-1] != "0" else "1")


def token_of(doors: RunningPlatform, service: str) -> str:
    return (doors.home / "keys" / f"{service}.token").read_text().strip()


def attempt_token_of(doors: RunningPlatform) -> str:
    """As the registry would make it for an attempt."""
    return attempt_token(new_id("att"), (doors.home / "keys" / "attempt-tokens.secret").read_bytes().strip())


BAD: dict[str, Callable[[RunningPlatform], str]] = {
    "nothing": lambda _: "",
    "no token": lambda _: "Bearer",
    "garbage": lambda _: "Bearer x",
    "long garbage": lambda _: "Bearer " + "lpk_" * 1000,
    "a token of another shape": lambda doors: key(doors.api_key + "_more"),
    "an unknown key": lambda _: key(new_api_key(new_id("key"))),
    "another secret": lambda doors: key(flipped(doors.api_key)),
    "the digest that is stored": lambda doors: key(
        f"{doors.api_key.rpartition('_')[0]}_{hashlib.sha256(doors.api_key.encode()).hexdigest()}"
    ),
    "an id that is none": lambda _: key(f"lpk_{'%' * 26}_{secrets.token_hex(32)}"),
    "the key without its scheme": lambda doors: doors.api_key,
    "the key by another scheme": lambda doors: "Basic " + base64.b64encode(f"u:{doors.api_key}".encode()).decode(),
    "two keys": lambda doors: f"Bearer {doors.api_key}, Bearer {doors.api_key}",
    "an attempt's token": lambda doors: key(attempt_token_of(doors)),
    "the gateway's token": lambda doors: key(token_of(doors, "gateway")),
    "the inference service's token": lambda doors: key(token_of(doors, "inference")),
    "the pool token of workers": lambda doors: key(token_of(doors, "trainer")),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_credential_is_refused_in_the_same_words_at_every_door(
    doors: RunningPlatform, call_as: Callable[[str], Caller], kind: str
) -> None:
    answers = at_every_door(call_as(BAD[kind](doors)))
    assert answers == dict.fromkeys(answers, REFUSED)


def test_a_good_key_is_let_in_at_every_door(operator: Caller) -> None:
    answers = at_every_door(operator)
    codes = {door: code for door, (code, _) in answers.items()}
    assert {code for door, code in codes.items() if "infer over" in door or "predict" in door} == {"not_found"}
    assert "unauthenticated" not in codes.values()


def test_the_challenge_names_the_scheme(doors: RunningPlatform) -> None:
    for name in ("gateway", "inference"):
        answer = httpx.get(doors.url(name) + ("/v1/runs" if name == "gateway" else "/v2"))
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_revoked_key_is_refused_at_every_door(
    operator: Caller, new_key: Callable[..., dict[str, Any]], call_as: Callable[[str], Caller]
) -> None:
    made = new_key("editor")
    caller = call_as(key(made["secret"]))
    assert REFUSED not in at_every_door(caller).values()
    assert operator.gateway.delete(f"/v1/keys/{made['key']['id']}").status_code == 200
    # Inference may let it in for as long as its cache remembers, which is a second here.
    wait_until(lambda: refused_everywhere(caller), 10, "the revoked key to be refused")
    assert refused_everywhere(caller)


def test_an_expired_key_is_refused_at_every_door(
    new_key: Callable[..., dict[str, Any]], call_as: Callable[[str], Caller]
) -> None:
    caller = call_as(key(new_key("editor", ttl_seconds=2)["secret"]))
    assert of_http(caller.gateway.get("/v1/runs"))[0] == "ok"
    wait_until(lambda: refused_everywhere(caller), 10, "the expired key to be refused")


def test_a_key_of_too_low_a_role_is_refused_alike(
    new_key: Callable[..., dict[str, Any]], call_as: Callable[[str], Caller], job: dict[str, Any]
) -> None:
    viewer = call_as(key(new_key("viewer")["secret"]))
    over_http = of_http(viewer.gateway.post("/v1/jobs", json=job, headers={"idempotency-key": "a"}))
    over_grpc = of_rpc(lambda: viewer.rpc(viewer.jobs.Submit, jobs_pb2.SubmitRequest(idempotency_key="a")))
    assert over_http[0] == over_grpc[0] == "permission_denied"
    for _, told in (over_http, over_grpc):
        assert "editor" in told
        assert "viewer" in told


def test_nobody_gives_away_more_than_they_have(
    new_key: Callable[..., dict[str, Any]], call_as: Callable[[str], Caller]
) -> None:
    admin = call_as(key(new_key("admin")["secret"]))
    for body in ({"role": "operator"}, {"role": "viewer", "project": "default"}, {"role": "viewer", "project": "none"}):
        answer = of_http(admin.gateway.post("/v1/keys", json={"name": "more", **body}))
        assert answer[0] == "permission_denied", body
    assert of_http(admin.gateway.post("/v1/projects", json={"name": "mine"}))[0] == "permission_denied"


def test_nobody_can_say_to_act_for_another(
    operator: Caller, new_key: Callable[..., dict[str, Any]], call_as: Callable[[str], Caller]
) -> None:
    """The header by which services tell the registry for whom they ask means nothing from outside."""
    acting = encode_acting(Principal(PrincipalKind.KEY, "key_x", "prj_other", Role.OPERATOR))
    viewer = call_as(key(new_key("viewer")["secret"]))
    claimed = {"x-lepton-acting": acting}
    me = viewer.gateway.get("/v1/whoami", headers=claimed).json()
    assert (me["role"], me["project"]) == ("viewer", operator.gateway.get("/v1/whoami").json()["project"])
    assert viewer.gateway.get("/v1/projects", headers=claimed).status_code == 403
    submit = of_rpc(
        lambda: viewer.rpc(viewer.jobs.Submit, jobs_pb2.SubmitRequest(idempotency_key="a"), x_lepton_acting=acting)
    )
    assert submit[0] == "permission_denied"
    nobody = call_as("")
    assert of_http(nobody.gateway.get("/v1/runs", headers=claimed)) == REFUSED
