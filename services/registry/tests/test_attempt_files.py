"""An attempt has what it sent and what its run uses: knowing a digest opens nothing more, and tells nothing."""

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import digest_of
from lepton_fixtures.registry_calls import claim, push_dataset, put_files, register_worker, submit
from lepton_proto.v1 import artifacts_pb2, artifacts_pb2_grpc, attempts_pb2, attempts_pb2_grpc, runs_pb2

SECRET = b"of the same project"
DATA = b"a,b\n1,2\n"


@pytest.fixture
async def scenery(server):
    """A secret of the project, and an attempt: (gateway, pool, worker, assignment, channel)."""
    gateway, pool = await server.gateway(), await server.pool()
    await push_dataset(gateway, DATA)
    await put_files(gateway, {"secret": SECRET})
    worker = await register_worker(pool)
    await submit(gateway, register={"model": "digits"})
    assignment = await claim(pool, worker)
    return gateway, assignment, await server.channel(assignment.attempt_token)


def entry(data: bytes) -> artifacts_pb2.FileEntry:
    return artifacts_pb2.FileEntry(path="weights", digest=digest_of(data), bytes=len(data))


async def code_of(call) -> ErrorCode:
    with pytest.raises(LeptonError) as raised:
        await call
    return raised.value.code


async def missing(channel, *contents: bytes) -> list[str]:
    request = artifacts_pb2.FindMissingRequest(digests=[digest_of(data) for data in contents])
    return list((await artifacts_pb2_grpc.ArtifactServiceStub(channel).FindMissing(request)).digests)


async def test_presence_is_told_of_what_the_attempt_has_alone(scenery):
    gateway, _, attempt = scenery
    assert await missing(gateway, SECRET) == []
    assert await missing(attempt, SECRET, b"unknown", DATA) == [digest_of(SECRET), digest_of(b"unknown")]
    await put_files(attempt, {"mine": b"mine"})
    assert await missing(attempt, b"mine") == []
    # Who has the bytes has the file, also if the project had it before.
    await put_files(attempt, {"again": SECRET})
    assert await missing(attempt, SECRET) == []


async def test_an_upload_of_a_foreign_file_has_to_be_sent(scenery):
    gateway, _, attempt = scenery
    request = artifacts_pb2.CreateUploadRequest(digest=digest_of(SECRET), bytes=len(SECRET))
    of_attempt = (await artifacts_pb2_grpc.ArtifactServiceStub(attempt).CreateUpload(request)).upload
    assert of_attempt.state == artifacts_pb2.UPLOAD_STATE_OPEN
    stub = artifacts_pb2_grpc.ArtifactServiceStub(gateway)
    of_gateway = (await stub.CreateUpload(request)).upload
    assert of_gateway.state == artifacts_pb2.UPLOAD_STATE_COMMITTED
    other = artifacts_pb2_grpc.ArtifactServiceStub(attempt).GetUpload(artifacts_pb2.GetUploadRequest(id=of_gateway.id))
    assert await code_of(other) is ErrorCode.NOT_FOUND


async def test_nothing_that_an_attempt_commits_may_name_a_foreign_file(scenery):
    _, assignment, attempt = scenery
    stub = attempts_pb2_grpc.AttemptServiceStub(attempt)
    id_ = assignment.attempt_id
    checkpoint = attempts_pb2.CommitCheckpointRequest(attempt_id=id_, step=1, files=[entry(SECRET)])
    result = attempts_pb2.AttemptResult(package=[entry(SECRET)])
    finish = attempts_pb2.FinishRequest(attempt_id=id_, outcome=runs_pb2.ATTEMPT_STATE_SUCCEEDED, result=result)
    manifest = artifacts_pb2.CommitManifestRequest(files=[entry(SECRET)])
    calls = [
        stub.CommitCheckpoint(checkpoint),
        stub.Finish(finish),
        artifacts_pb2_grpc.ArtifactServiceStub(attempt).CommitManifest(manifest),
    ]
    for call in calls:
        assert await code_of(call) is ErrorCode.FAILED_PRECONDITION
    await put_files(attempt, {"weights": SECRET})
    assert (await stub.CommitCheckpoint(checkpoint)).checkpoint.step == 1


async def test_files_of_the_run_may_be_named_and_repeats_are_answered_after_the_end(scenery):
    _, assignment, attempt = scenery
    stub = attempts_pb2_grpc.AttemptServiceStub(attempt)
    request = attempts_pb2.CommitCheckpointRequest(attempt_id=assignment.attempt_id, step=1, files=[entry(DATA)])
    committed = (await stub.CommitCheckpoint(request)).checkpoint
    failed = attempts_pb2.FinishRequest(attempt_id=assignment.attempt_id, outcome=runs_pb2.ATTEMPT_STATE_FAILED)
    await stub.Finish(failed)
    assert (await stub.CommitCheckpoint(request)).checkpoint == committed
