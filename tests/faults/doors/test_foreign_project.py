"""Another project's things: they cannot be read, changed, or told apart from things that do not exist."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from lepton_core.ids import digest_of, new_id
from lepton_core.objects.inline_batch import MEDIA_TYPE, write_batch
from lepton_fixtures.archives import zipped
from lepton_fixtures.callers import Caller, key, of_http, of_rpc
from lepton_fixtures.packages import adder
from lepton_fixtures.processes import wait_until
from lepton_proto.inference import open_inference_pb2 as oip
from lepton_proto.v1 import jobs_pb2

SECRET = b"what only the owner may read"


@dataclass(frozen=True)
class Things:
    """Ids, names and digests of one project."""

    run: str
    dataset: str
    dataset_version: str
    model: str
    model_version: str
    deployment: str
    key: str
    upload: str
    manifest: str
    file: str


@pytest.fixture(scope="module")
def owned(operator: Caller, job: dict[str, Any], new_key: Callable[..., dict[str, Any]]) -> Things:
    """One of everything, in the operator's project."""
    http = operator.gateway

    def post(path: str, **sent: Any) -> dict[str, Any]:
        answer = http.post(path, **sent)
        assert answer.status_code in (200, 201, 202), answer.text
        found: dict[str, Any] = answer.json()
        return found

    package, data = zipped(adder(4.5)), zipped({"secret.txt": SECRET})
    model = post("/v1/models/owned/versions", content=package.content, headers=package.headers)["version"]
    http.put("/v1/models/owned/aliases/champion", json={"version": 1}).raise_for_status()
    post("/v1/deployments", json={"name": "owned", "model": "owned@champion"})
    version = post("/v1/datasets/owned/versions", content=data.content, headers=data.headers)["version"]
    wait_until(lambda: http.get("/v1/deployments/owned").json()["last_good"], 30, "the deployment to serve")
    return Things(
        run=post("/v1/jobs", json=job, headers={"idempotency-key": str(uuid.uuid4())})["id"],
        dataset="owned",
        dataset_version=version["id"],
        model="owned",
        model_version=model["id"],
        deployment="owned",
        key=new_key("viewer")["key"]["id"],
        upload=post("/v1/uploads", json={"digest": digest_of(uuid.uuid4().bytes), "bytes": 16})["id"],
        manifest=version["digest"],
        file=digest_of(SECRET),
    )


@pytest.fixture(scope="module")
def absent() -> Things:
    """What nobody has."""
    digest = digest_of(uuid.uuid4().bytes)
    ids = {"run": "run", "dataset_version": "dsv", "model_version": "mv", "key": "key", "upload": "upl"}
    names = dict.fromkeys(("dataset", "model", "deployment"), "other")
    return Things(**{field: new_id(prefix) for field, prefix in ids.items()}, **names, manifest=digest, file=digest)


@pytest.fixture(scope="module")
def stranger(operator: Caller, new_key: Callable[..., dict[str, Any]], call_as: Callable[[str], Caller]) -> Caller:
    """Somebody with every right in another project: nothing but the project stands between."""
    project = operator.gateway.post("/v1/projects", json={"name": f"strangers-{uuid.uuid4().hex[:8]}"}).json()
    return call_as(key(new_key("operator", project=project["id"])["secret"]))


INFER = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 0, 0, 0]}]}

# Everything that names a thing of a project, over HTTP: of the gateway, then of inference.
Call = Callable[[Caller, Things], httpx.Response]
CALLS: dict[str, Call] = {
    "get run": lambda c, x: c.gateway.get(f"/v1/runs/{x.run}"),
    "attempts": lambda c, x: c.gateway.get(f"/v1/runs/{x.run}/attempts"),
    "checkpoints": lambda c, x: c.gateway.get(f"/v1/runs/{x.run}/checkpoints"),
    "metrics": lambda c, x: c.gateway.get(f"/v1/runs/{x.run}/metrics"),
    "metrics stream": lambda c, x: c.gateway.get(f"/v1/runs/{x.run}/metrics/stream"),
    "logs": lambda c, x: c.gateway.get(f"/v1/runs/{x.run}/logs"),
    "logs stream": lambda c, x: c.gateway.get(f"/v1/runs/{x.run}/logs/stream"),
    "events stream": lambda c, x: c.gateway.get(f"/v1/runs/{x.run}/events/stream"),
    "cancel": lambda c, x: c.gateway.post(f"/v1/runs/{x.run}:cancel"),
    "retry": lambda c, x: c.gateway.post(f"/v1/runs/{x.run}:retry", headers={"idempotency-key": "a"}),
    "dataset": lambda c, x: c.gateway.get(f"/v1/datasets/{x.dataset}"),
    "dataset versions": lambda c, x: c.gateway.get(f"/v1/datasets/{x.dataset}/versions"),
    "dataset by id": lambda c, x: c.gateway.get(f"/v1/dataset-versions/{x.dataset_version}"),
    "dataset by name": lambda c, x: c.gateway.get(f"/v1/dataset-versions/{x.dataset}@1"),
    "dataset by digest": lambda c, x: c.gateway.get(f"/v1/dataset-versions/{x.dataset}@{x.manifest}"),
    "model": lambda c, x: c.gateway.get(f"/v1/models/{x.model}"),
    "model versions": lambda c, x: c.gateway.get(f"/v1/models/{x.model}/versions"),
    "model by id": lambda c, x: c.gateway.get(f"/v1/model-versions/{x.model_version}"),
    "model by alias": lambda c, x: c.gateway.get(f"/v1/model-versions/{x.model}@champion"),
    "set alias": lambda c, x: c.gateway.put(f"/v1/models/{x.model}/aliases/champion", json={"version": 1}),
    "delete alias": lambda c, x: c.gateway.delete(f"/v1/models/{x.model}/aliases/champion"),
    "deployment": lambda c, x: c.gateway.get(f"/v1/deployments/{x.deployment}"),
    "revisions": lambda c, x: c.gateway.get(f"/v1/deployments/{x.deployment}/revisions"),
    "update": lambda c, x: c.gateway.patch(f"/v1/deployments/{x.deployment}", json={"model": f"{x.model}@1"}),
    "rollback": lambda c, x: c.gateway.post(f"/v1/deployments/{x.deployment}:rollback", json={"revision": 1}),
    "delete": lambda c, x: c.gateway.delete(f"/v1/deployments/{x.deployment}"),
    "deploy by id": lambda c, x: c.gateway.post("/v1/deployments", json={"name": "mine", "model": x.model_version}),
    "deploy by name": lambda c, x: c.gateway.post(
        "/v1/deployments", json={"name": "mine", "model": f"{x.model}@champion"}
    ),
    "lineage of run": lambda c, x: c.gateway.get(f"/v1/lineage/{x.run}"),
    "lineage of model": lambda c, x: c.gateway.get(f"/v1/lineage/{x.model_version}"),
    "lineage of data": lambda c, x: c.gateway.get(f"/v1/lineage/{x.dataset_version}"),
    "manifest": lambda c, x: c.gateway.get(f"/v1/manifests/{x.manifest}"),
    "upload": lambda c, x: c.gateway.get(f"/v1/uploads/{x.upload}"),
    "complete upload": lambda c, x: c.gateway.post(
        f"/v1/uploads/{x.upload}:complete", json={"parts": [{"number": 1, "etag": "x"}]}
    ),
    "bytes of a file": lambda c, x: c.gateway.post("/v1/artifacts:locate", json={"digests": [x.file]}),
    "folder with a file": lambda c, x: c.gateway.post(
        "/v1/manifests", json={"files": [{"path": "a", "digest": x.file, "bytes": len(SECRET)}]}
    ),
    "data of a folder": lambda c, x: c.gateway.post("/v1/datasets/mine/versions", json={"manifest_digest": x.manifest}),
    "model of a file": lambda c, x: c.gateway.post(
        "/v1/models/mine/versions",
        json={"files": [{"path": p, "digest": x.file, "bytes": len(SECRET)} for p in ("model.onnx", "signature.json")]},
    ),
    "job on data": lambda c, x: c.gateway.post(
        "/v1/jobs",
        json={"name": "a", "recipe": "tabular", "data": x.dataset_version, "train": {"target": "kind"}},
        headers={"idempotency-key": str(uuid.uuid4())},
    ),
    "job on code": lambda c, x: c.gateway.post(
        "/v1/jobs",
        json={"name": "a", "script": {"entry": "train.py", "code": x.manifest}},
        headers={"idempotency-key": str(uuid.uuid4())},
    ),
    "revoke key": lambda c, x: c.gateway.delete(f"/v1/keys/{x.key}"),
    "predict": lambda c, x: c.gateway.post(
        f"/v1/deployments/{x.deployment}:predict", json={"instances": [[0, 0, 0, 0]]}
    ),
    "inference: predict": lambda c, x: c.inference.post(
        f"/v1/deployments/{x.deployment}:predict", json={"instances": [[0, 0, 0, 0]]}
    ),
    "inference: infer": lambda c, x: c.inference.post(f"/v2/models/{x.deployment}/infer", json=INFER),
    "inference: infer version": lambda c, x: c.inference.post(
        f"/v2/models/{x.deployment}/versions/1/infer", json=INFER
    ),
    "inference: metadata": lambda c, x: c.inference.get(f"/v2/models/{x.deployment}"),
    "inference: ready": lambda c, x: c.inference.get(f"/v2/models/{x.deployment}/ready"),
}


def without_names(answer: httpx.Response, things: Things) -> tuple[int, str]:
    """Status and body, with the caller's own words taken out."""
    text = answer.text
    for value in sorted(vars(things).values(), key=len, reverse=True):
        text = text.replace(value, "…")
    problem = httpx.Response(200, text=text).json()
    return answer.status_code, repr({name: value for name, value in problem.items() if name != "request_id"})


@pytest.mark.parametrize("call", CALLS)
def test_a_foreign_thing_looks_like_one_that_does_not_exist(
    stranger: Caller, owned: Things, absent: Things, call: str
) -> None:
    foreign, nothing = CALLS[call](stranger, owned), CALLS[call](stranger, absent)
    assert of_http(foreign)[0] in ("not_found", "invalid", "failed_precondition")
    assert without_names(foreign, owned) == without_names(nothing, absent)


def test_the_owner_can_do_what_the_stranger_cannot(operator: Caller, owned: Things) -> None:
    """Or else the tests above would show nothing."""
    # Streams go on for as long as a run waits.
    reading = [call for call in CALLS if not changes(call) and "stream" not in call]
    codes = {call: CALLS[call](operator, owned).status_code for call in reading}
    assert codes == dict.fromkeys(reading, 200)


def changes(call: str) -> bool:
    words = ("cancel", "retry", "alias", "update", "rollback", "delete", "deploy ", "complete", "folder", " of a f")
    return any(word in call for word in words) or call.startswith(("job", "revoke"))


def test_the_same_answers_over_grpc(stranger: Caller, owned: Things, absent: Things) -> None:
    tensor = oip.ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, 4])
    tensor.contents.fp32_contents.extend([0, 0, 0, 0])
    jobs, models = stranger.jobs, stranger.models
    # By the HTTP call that asks the same.
    calls: dict[str, Callable[[Things], object]] = {
        "get run": lambda x: stranger.rpc(jobs.Get, jobs_pb2.GetRequest(id=x.run)),
        "cancel": lambda x: stranger.rpc(jobs.Cancel, jobs_pb2.CancelRequest(id=x.run)),
        "events stream": lambda x: stranger.stream(jobs.Watch, jobs_pb2.WatchRequest(id=x.run)),
        "inference: metadata": lambda x: stranger.rpc(
            models.ModelMetadata, oip.ModelMetadataRequest(name=x.deployment)
        ),
        "inference: infer": lambda x: stranger.rpc(
            models.ModelInfer, oip.ModelInferRequest(model_name=x.deployment, inputs=[tensor])
        ),
    }
    for name, call in calls.items():
        for things in (owned, absent):
            over_grpc = of_rpc(lambda call=call, things=things: call(things))
            assert over_grpc == of_http(CALLS[name](stranger, things)), name
    # Over gRPC the protocol has a word for it.
    for things in (owned, absent):
        assert not stranger.rpc(models.ModelReady, oip.ModelReadyRequest(name=things.deployment)).ready


def test_lists_hold_ones_own_things_only(stranger: Caller, owned: Things) -> None:
    for path, held in (
        ("/v1/runs", "runs"),
        ("/v1/datasets", "datasets"),
        ("/v1/models", "models"),
        ("/v1/deployments", "deployments"),
    ):
        assert stranger.gateway.get(path).json()[held] == [], path
    assert stranger.rpc(stranger.jobs.List, jobs_pb2.ListRequest()).runs == []
    assert stranger.rpc(stranger.models.RepositoryIndex, oip.RepositoryIndexRequest()).models == []
    assert stranger.inference.post("/v2/repository/index").json() == []
    keys = {each["id"] for each in stranger.gateway.get("/v1/keys").json()["keys"]}
    assert owned.key not in keys
    events = stranger.gateway.get("/v1/events").json()["events"]
    own_project = stranger.gateway.get("/v1/whoami").json()["project"]
    assert {event["project"] for event in events} <= {own_project}


def test_presence_of_a_foreign_digest_is_not_told_and_its_bytes_must_be_sent(stranger: Caller, owned: Things) -> None:
    missing = stranger.gateway.post("/v1/artifacts:missing", json={"digests": [owned.file]}).json()
    assert missing["digests"] == [owned.file]
    upload = stranger.gateway.post("/v1/uploads", json={"digest": owned.file, "bytes": len(SECRET)}).json()
    assert upload["state"] == "open"
    claimed = write_batch([(owned.file, b"x" * len(SECRET))])
    answer = stranger.gateway.post("/v1/artifacts:inline", content=claimed, headers={"content-type": MEDIA_TYPE})
    assert answer.status_code == 422, answer.text
    found = stranger.gateway.post("/v1/artifacts:missing", json={"digests": [owned.file]}).json()
    assert found["digests"] == [owned.file]


def test_the_owner_still_has_everything(operator: Caller, owned: Things) -> None:
    run = operator.gateway.get(f"/v1/runs/{owned.run}").json()
    assert (run["state"], run["cancel_requested"]) == ("queued", False)
    assert operator.gateway.get("/v1/model-versions/owned@champion").status_code == 200
    assert operator.inference.post(f"/v2/models/{owned.deployment}/infer", json=INFER).status_code == 200
    keys = {each["id"]: each for each in operator.gateway.get("/v1/keys").json()["keys"]}
    assert keys[owned.key]["revoked_at_us"] == 0


def test_names_are_unique_within_a_project_only(stranger: Caller, operator: Caller, owned: Things) -> None:
    """The stranger serves a model of the same names, and each hears its own."""
    package = zipped(adder(5.5))
    made = stranger.gateway.post("/v1/models/owned/versions", content=package.content, headers=package.headers)
    assert made.status_code == 201, made.text
    body = {"name": owned.deployment, "model": "owned@1"}
    assert stranger.gateway.post("/v1/deployments", json=body).status_code == 201
    url = f"/v2/models/{owned.deployment}/infer"
    wait_until(lambda: stranger.inference.post(url, json=INFER).status_code == 200, 30, "the stranger's to serve")
    heard = [caller.inference.post(url, json=INFER).json()["outputs"][0]["data"][0] for caller in (operator, stranger)]
    assert heard == [4.5, 5.5]
