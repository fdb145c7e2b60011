"""Submissions that are sent until they are answered, however often the platform dies; which runs there are then."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
from google.protobuf import json_format

from lepton_core.errors import ErrorCode, LeptonError
from lepton_fixtures.callers import Caller, key
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import wait_until
from lepton_proto.v1 import jobs_pb2


@dataclass
class Submission:
    """One key over HTTP or gRPC. `created` is what the answer said; None over gRPC, whose answer does not have it."""

    job: dict[str, Any]
    by_grpc: bool
    key: str = field(default_factory=lambda: str(uuid.uuid4()))
    run: str = ""
    created: bool | None = None
    tries: int = 0

    @property
    def name(self) -> str:
        return str(self.job["name"])

    @property
    def answer_was_lost(self) -> bool:
        """Its run was there before the answer that it got."""
        return self.created is False and self.tries > 1

    def send(self, caller: Caller) -> bool:
        """Whether there was an answer."""
        self.tries += 1
        try:
            if self.by_grpc:
                self.run = self._over_grpc(caller)
            else:
                self.run, self.created = self._over_http(caller)
        except (httpx.TransportError, LeptonError):
            return False
        return True

    def insist(self, caller: Caller, seconds: float = 60) -> None:
        """Send it until it is answered."""
        wait_until(lambda: self.send(caller), seconds, f"an answer to {self.name}")

    def _over_http(self, caller: Caller) -> tuple[str, bool]:
        answer = caller.gateway.post("/v1/jobs", json=self.job, headers={"idempotency-key": self.key})
        if answer.status_code == 503:
            raise LeptonError(ErrorCode.UNAVAILABLE, answer.text)
        assert answer.status_code in (200, 202), answer.text
        return answer.json()["id"], answer.status_code == 202

    def _over_grpc(self, caller: Caller) -> str:
        spec = jobs_pb2.JobSpec(train_json=json.dumps(self.job["train"]))
        json_format.ParseDict({name: value for name, value in self.job.items() if name != "train"}, spec)
        request = jobs_pb2.SubmitRequest(spec=spec, idempotency_key=self.key)
        return str(caller.rpc(caller.jobs.Submit, request).run.id)


def message(job: dict[str, Any]) -> dict[str, Any]:
    """As a producer of the queue sends it, by stream or Celery."""
    return {"message_id": f"m-{uuid.uuid4()}", "job": job}


def runs_named(platform: RunningPlatform, prefix: str) -> Counter[str]:
    """How many runs of each name there are."""
    found: Counter[str] = Counter()
    token = ""
    with httpx.Client(base_url=platform.url("gateway"), headers={"authorization": key(platform.api_key)}) as http:
        while True:
            page = http.get("/v1/runs", params={"page_size": 1000, "page_token": token}).json()
            found.update(run["name"] for run in page["runs"] if run["name"].startswith(prefix))
            token = page["next_page_token"]
            if not token:
                return found
