"""Whose scripts are let in, and which of them only to a worker that isolates: real gateways over a real registry.

The workers are announcements: what is asked here is who may submit, and what the registry gives to whom.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from redis import Redis

from lepton_core.errors import LeptonError
from lepton_core.grpc.client import SyncChannel, open_sync_channel
from lepton_core.ids import new_id
from lepton_core.queue import SUBMISSION_STREAM, reply_stream
from lepton_fixtures.processes import wait_until
from lepton_fixtures.stack import Stack
from lepton_proto.v1 import attempts_pb2, attempts_pb2_grpc, jobs_pb2, jobs_pb2_grpc, workers_pb2, workers_pb2_grpc

PARTS = ("queue", "objects", "registry", "gateway")


class Doors:
    """A platform without workers but those that are announced here."""

    def __init__(self, folder: Path, *, beyond_loopback: bool) -> None:
        self.stack = Stack(folder)
        self._clients = ExitStack()
        http = self.stack.ports["gateway_http"]
        if beyond_loopback:
            # Loopback by another name, which the gateway cannot know: it has to take it for the open network.
            self.stack.settings["LEPTON_GATEWAY_HTTP_LISTEN"] = f"127.1:{http}"
        self.stack.start(*PARTS)
        self._url = f"http://127.0.0.1:{http}"
        self.operator = self._client((self.stack.home.keys / "operator.key").read_text().strip())
        answer = self.operator.post("/v1/keys", json={"name": "editor", "role": "editor"})
        assert answer.status_code == 201, answer.text
        self.editor_key = answer.json()["secret"]
        self.editor = self._client(self.editor_key)
        (folder / "code").mkdir()
        (folder / "code" / "train.py").write_text("print('ran')")
        self.job = {"name": "script", "script": {"entry": "train.py", "code": self.stack.push(folder / "code")}}
        token = (self.stack.home.keys / "trainer.token").read_text().strip()
        self._pool = self._channel(f"127.0.0.1:{self.stack.ports['registry']}", token)
        self._worker = new_id("wrk")
        self._incarnation = 0

    def _client(self, key: str) -> httpx.Client:
        headers = {"authorization": f"Bearer {key}"}
        return self._clients.enter_context(httpx.Client(base_url=self._url, headers=headers, timeout=30))

    def _channel(self, address: str, token: str) -> SyncChannel:
        return self._clients.enter_context(open_sync_channel(address, token))

    def close(self) -> None:
        self._clients.close()
        self.stack.stop()

    def jobs(self, key: str) -> jobs_pb2_grpc.JobServiceStub:
        return jobs_pb2_grpc.JobServiceStub(self._channel(f"127.0.0.1:{self.stack.ports['gateway_grpc']}", key))

    def queue(self) -> Redis:
        password = (self.stack.home.keys / "queue-producers.password").read_text().strip()
        url = f"redis://producers:{password}@127.0.0.1:{self.stack.ports['queue']}/0"
        return self._clients.enter_context(Redis.from_url(url, decode_responses=True))

    def announce(self, *, isolates: bool) -> None:
        """There is one worker that accepts scripts, and it isolates them or not."""
        self._incarnation += 1
        request = workers_pb2.RegisterWorkerRequest(
            id=self._worker,
            hostname="host",
            incarnation=self._incarnation,
            accepts_scripts=True,
            isolates_scripts=isolates,
            max_ranks=1,
        )
        workers_pb2_grpc.WorkerServiceStub(self._pool).RegisterWorker(request)

    def claim(self) -> str:
        """The run that the worker gets now, and does not work on; empty for none."""
        request = attempts_pb2.ClaimRequest(
            worker_id=self._worker, incarnation=self._incarnation, claim_id=new_id("ing")
        )
        run = str(attempts_pb2_grpc.AttemptServiceStub(self._pool).Claim(request).assignment.run_id)
        # Or else the worker's next announcement would bring it back.
        return self.cancel(run) if run else ""

    def submit(self, client: httpx.Client) -> httpx.Response:
        return client.post("/v1/jobs", json=self.job, headers={"idempotency-key": str(uuid.uuid4())})

    def retry(self, client: httpx.Client, run: str) -> httpx.Response:
        return client.post(f"/v1/runs/{run}:retry", headers={"idempotency-key": str(uuid.uuid4())})

    def cancel(self, run: str) -> str:
        assert self.operator.post(f"/v1/runs/{run}:cancel").status_code == 202
        return run


def doors_of(folder: Path, *, beyond_loopback: bool) -> Iterator[Doors]:
    doors = Doors(folder, beyond_loopback=beyond_loopback)
    yield doors
    doors.close()


@pytest.fixture(scope="module")
def near(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """On loopback only."""
    yield from doors_of(tmp_path_factory.mktemp("near"), beyond_loopback=False)


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """Beyond loopback."""
    yield from doors_of(tmp_path_factory.mktemp("far"), beyond_loopback=True)


def refused(answer: httpx.Response) -> tuple[str, str]:
    assert answer.status_code >= 400, answer.text
    return answer.json()["code"], answer.json()["detail"]


def run_of(answer: httpx.Response) -> str:
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def test_on_loopback_an_operators_script_runs_anywhere(near: Doors) -> None:
    near.announce(isolates=False)
    run = run_of(near.submit(near.operator))
    assert near.claim() == run


def test_on_loopback_an_editors_script_needs_a_worker_that_isolates(near: Doors) -> None:
    near.announce(isolates=False)
    code, detail = refused(near.submit(near.editor))
    assert code == "permission_denied"
    assert "editor" in detail
    assert "LEPTON_TRAINER_RUN_AS" in detail
    near.announce(isolates=True)
    run = run_of(near.submit(near.editor))
    # The worker has been started anew, without such a user.
    near.announce(isolates=False)
    assert near.claim() == ""
    near.announce(isolates=True)
    assert near.claim() == run


def test_a_retry_by_an_editor_isolates_what_the_operator_trusted(near: Doors) -> None:
    near.announce(isolates=False)
    trusted = near.cancel(run_of(near.submit(near.operator)))
    assert refused(near.retry(near.editor, trusted))[0] == "permission_denied"
    near.announce(isolates=True)
    again = run_of(near.retry(near.editor, trusted))
    near.announce(isolates=False)
    assert near.claim() == ""
    # And an operator's retry of that one does not set it free.
    near.cancel(again)
    once_more = run_of(near.retry(near.operator, again))
    assert near.claim() == ""
    near.announce(isolates=True)
    assert near.claim() == once_more


@pytest.mark.parametrize("who", ["editor", "operator"])
def test_beyond_loopback_every_script_needs_a_worker_that_isolates(far: Doors, who: str) -> None:
    client = cast("httpx.Client", getattr(far, who))
    far.announce(isolates=False)
    code, detail = refused(far.submit(client))
    assert code == "failed_precondition"
    assert "beyond loopback" in detail
    assert "LEPTON_TRAINER_RUN_AS" in detail
    far.announce(isolates=True)
    run = run_of(far.submit(client))
    far.announce(isolates=False)
    assert far.claim() == ""
    far.cancel(run)
    assert refused(far.retry(client, run))[0] == "failed_precondition"
    far.announce(isolates=True)
    again = run_of(far.retry(client, run))
    assert far.claim() == again


def test_the_grpc_door_has_the_same_rule(near: Doors) -> None:
    spec = jobs_pb2.JobSpec(name="script", script=jobs_pb2.ScriptSpec(**cast("dict[str, str]", near.job["script"])))
    jobs = near.jobs(near.editor_key)

    def submit() -> str:
        return str(jobs.Submit(jobs_pb2.SubmitRequest(spec=spec, idempotency_key=str(uuid.uuid4()))).run.id)

    near.announce(isolates=False)
    with pytest.raises(LeptonError, match="LEPTON_TRAINER_RUN_AS"):
        submit()
    near.announce(isolates=True)
    run = submit()
    assert near.claim() == run


def test_the_queue_door_has_the_same_rule(near: Doors) -> None:
    queue = near.queue()

    def reply(message_id: str) -> Callable[[], list[dict[str, str]]]:
        def replies() -> list[dict[str, str]]:
            entries = cast("Any", queue.xrange(reply_stream("intake")))
            return [fields for _, fields in entries if fields["message_id"] == message_id]

        return replies

    def send() -> dict[str, str]:
        message_id = f"m-{uuid.uuid4()}"
        queue.xadd(SUBMISSION_STREAM, {"body": json.dumps({"message_id": message_id, "job": near.job})})
        wait_until(reply(message_id), 30, "the reply")
        return reply(message_id)()[0]

    near.announce(isolates=False)
    told = send()
    assert (told["status"], json.loads(told["error"])["code"]) == ("refused", "permission_denied")
    near.announce(isolates=True)
    told = send()
    assert told["status"] == "accepted", told
    assert near.claim() == told["run_id"]
