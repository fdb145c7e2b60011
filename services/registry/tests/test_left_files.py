"""What the programs of a failed attempt left is kept, and readable for people, but not for other attempts."""

import pytest

from lepton_core.api.limits import MAX_LEFT_FILES
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import digest_of
from lepton_core.objects.store import ObjectStore
from lepton_fixtures.registry_calls import claim, push_dataset, put_files, register_worker, submit
from lepton_proto.v1 import artifacts_pb2, artifacts_pb2_grpc, attempts_pb2, attempts_pb2_grpc, runs_pb2, runs_pb2_grpc
from lepton_registry.artifacts import store as artifacts
from lepton_registry.artifacts.collection import Collector
from lepton_registry.database.leadership import Leadership
from lepton_registry.modules import MODULES
from lepton_registry.runs import attempts
from lepton_registry.settings import DEFAULT_RETENTION

FAILED, SUCCEEDED = runs_pb2.ATTEMPT_STATE_FAILED, runs_pb2.ATTEMPT_STATE_SUCCEEDED
WEIGHTS = b"eight hours of training"


async def test_the_files_are_kept_as_long_as_the_attempt(scene, s3):
    attempt = await scene.started(await scene.worker(), retries=0)
    files = await scene.files("weights", "more")
    report = {"reason": "no model", "final": True, "digest": "same", "files": files}
    assert (await scene.finish(attempt.id, "failed", **report)).state == "failed"
    assert (await scene.finish(attempt.id, "failed", **report)).state == "failed", "a repeated report"
    objects = ObjectStore(s3.endpoint, s3.access_key, s3.secret_key, bucket=s3.bucket)
    objects.ensure_bucket()
    leadership = Leadership(scene.database, alone=True)
    assert await leadership.try_to_lead()
    at_once = DEFAULT_RETENTION.model_copy(update={"unused_file_seconds": -1, "deletion_wait_seconds": -1})
    references = [keeps for module in MODULES for keeps in module.keeps_manifest]
    await Collector(scene.database, objects, references, retention=at_once, leadership=leadership).collect()
    ended = await scene.database.read(lambda conn: attempts.find(conn, attempt.id))
    listed = await scene.database.read(lambda conn: artifacts.manifest_files(conn, scene.project, ended.files_digest))
    assert listed == files


async def test_without_files_there_is_no_manifest(scene):
    attempt = await scene.started(await scene.worker(), retries=0)
    await scene.finish(attempt.id, "failed")
    assert (await scene.database.read(lambda conn: attempts.find(conn, attempt.id))).files_digest == ""


@pytest.fixture
async def scenery(server):
    """(gateway, pool, worker, assignment, channel of the attempt)."""
    gateway, pool = await server.gateway(), await server.pool()
    await push_dataset(gateway)
    worker = await register_worker(pool)
    await submit(gateway, "first")
    assignment = await claim(pool, worker)
    return gateway, pool, worker, assignment, await server.channel(assignment.attempt_token)


def entry(data: bytes, path: str = "code/model.pt") -> artifacts_pb2.FileEntry:
    return artifacts_pb2.FileEntry(path=path, digest=digest_of(data), bytes=len(data))


async def finish(channel, attempt_id, *files, outcome=FAILED) -> runs_pb2.Run:
    request = attempts_pb2.FinishRequest(attempt_id=attempt_id, outcome=outcome, final=True, files=files)
    return (await attempts_pb2_grpc.AttemptServiceStub(channel).Finish(request)).run


async def refusal(call) -> LeptonError:
    with pytest.raises(LeptonError) as raised:
        await call
    return raised.value


async def manifest(channel, digest: str) -> list[artifacts_pb2.FileEntry]:
    request = artifacts_pb2.GetManifestRequest(manifest_digest=digest)
    return list((await artifacts_pb2_grpc.ArtifactServiceStub(channel).GetManifest(request)).files)


async def test_people_read_the_files_and_attempts_of_other_runs_do_not(server, scenery):
    gateway, pool, worker, assignment, attempt = scenery
    await put_files(attempt, {"code/model.pt": WEIGHTS})
    await finish(attempt, assignment.attempt_id, entry(WEIGHTS))
    await finish(attempt, assignment.attempt_id, entry(WEIGHTS))
    request = runs_pb2.ListAttemptsRequest(run_id=assignment.run_id)
    [ended] = (await runs_pb2_grpc.RunServiceStub(gateway).ListAttempts(request)).attempts
    assert await manifest(gateway, ended.files_digest) == [entry(WEIGHTS)]

    await submit(gateway, "second")
    other = await server.channel((await claim(pool, worker)).attempt_token)
    assert (await refusal(manifest(other, ended.files_digest))).code is ErrorCode.NOT_FOUND
    locate = artifacts_pb2.LocateRequest(digests=[digest_of(WEIGHTS)])
    located = artifacts_pb2_grpc.ArtifactServiceStub(other).Locate(locate)
    assert (await refusal(located)).code is ErrorCode.NOT_FOUND


async def test_files_that_the_attempt_has_not_sent_are_refused_and_it_still_runs(scenery):
    gateway, _, _, assignment, attempt = scenery
    await put_files(gateway, {"secret": b"of the same project"})
    error = await refusal(finish(attempt, assignment.attempt_id, entry(b"of the same project")))
    assert error.code is ErrorCode.FAILED_PRECONDITION
    assert (await finish(attempt, assignment.attempt_id)).state == runs_pb2.RUN_STATE_FAILED


async def test_only_a_failure_leaves_files_and_not_too_many(scenery):
    _, _, _, assignment, attempt = scenery
    await put_files(attempt, {"code/model.pt": WEIGHTS})
    many = [entry(WEIGHTS, f"code/{number}") for number in range(MAX_LEFT_FILES + 1)]
    for call in (
        finish(attempt, assignment.attempt_id, entry(WEIGHTS), outcome=SUCCEEDED),
        finish(attempt, assignment.attempt_id, *many),
    ):
        error = await refusal(call)
        assert (error.code, error.fields[0].field) == (ErrorCode.INVALID, "files")
