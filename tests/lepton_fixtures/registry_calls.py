"""Calls of the registry over gRPC that several tests make: files, a dataset, a worker, a run, a claim."""

from __future__ import annotations

from typing import Any

from lepton_core.ids import digest_of, new_id
from lepton_core.validation import canonical_json
from lepton_proto.v1 import (
    artifacts_pb2,
    artifacts_pb2_grpc,
    attempts_pb2,
    attempts_pb2_grpc,
    datasets_pb2,
    datasets_pb2_grpc,
    recipes_pb2,
    runs_pb2,
    runs_pb2_grpc,
    workers_pb2,
    workers_pb2_grpc,
)

SCHEMA = '{"type":"object"}'


async def put_files(channel: Any, contents: dict[str, bytes]) -> tuple[str, list[artifacts_pb2.FileEntry]]:
    """Send files and commit their folder; (manifest digest, entries)."""
    stub = artifacts_pb2_grpc.ArtifactServiceStub(channel)
    files = [artifacts_pb2.InlineFile(digest=digest_of(data), data=data) for data in contents.values()]
    await stub.PutInline(artifacts_pb2.PutInlineRequest(files=files))
    entries = [
        artifacts_pb2.FileEntry(path=path, digest=digest_of(data), bytes=len(data)) for path, data in contents.items()
    ]
    committed = await stub.CommitManifest(artifacts_pb2.CommitManifestRequest(files=entries))
    return committed.manifest_digest, entries


async def push_dataset(gateway: Any, content: bytes = b"a,b\n1,2\n") -> None:
    """A version of the dataset `digits`."""
    digest, _ = await put_files(gateway, {"train.csv": content})
    request = datasets_pb2.CreateDatasetVersionRequest(name="digits", manifest_digest=digest)
    await datasets_pb2_grpc.DatasetServiceStub(gateway).CreateDatasetVersion(request)


async def register_worker(pool: Any, incarnation: int = 1, worker_id: str = "") -> workers_pb2.Worker:
    """It can run recipe r@1 and scripts."""
    request = workers_pb2.RegisterWorkerRequest(
        id=worker_id or new_id("wrk"),
        hostname="host",
        incarnation=incarnation,
        recipes=[recipes_pb2.Recipe(name="r", version="1", title="R", schema_json=SCHEMA)],
        accepts_scripts=True,
        max_ranks=2,
    )
    return (await workers_pb2_grpc.WorkerServiceStub(pool).RegisterWorker(request)).worker


def submission(key: str = "k", **spec: Any) -> runs_pb2.Submission:
    """Of a job with recipe r@1 on `digits`."""
    body = {"spec_version": 1, "name": "job", "recipe": "r", "data": "digits", "train": {}} | spec
    return runs_pb2.Submission(
        spec_json=canonical_json(body),
        key_namespace="client",
        idempotency_key=key,
        request_digest=f"1:{digest_of(canonical_json(body).encode())}",
        recipe="r",
        recipe_version="1",
    )


async def submit_together(gateway: Any, *submissions: runs_pb2.Submission) -> list[runs_pb2.SubmissionOutcome]:
    request = runs_pb2.SubmitRunsRequest(submissions=submissions)
    return list((await runs_pb2_grpc.RunServiceStub(gateway).SubmitRuns(request)).outcomes)


async def submit(gateway: Any, key: str = "k", **spec: Any) -> runs_pb2.Run:
    [outcome] = await submit_together(gateway, submission(key, **spec))
    assert not outcome.HasField("error"), outcome.error
    return outcome.run


async def claim(pool: Any, worker: workers_pb2.Worker) -> attempts_pb2.Assignment:
    request = attempts_pb2.ClaimRequest(worker_id=worker.id, incarnation=worker.incarnation, claim_id=new_id("ing"))
    return (await attempts_pb2_grpc.AttemptServiceStub(pool).Claim(request)).assignment
