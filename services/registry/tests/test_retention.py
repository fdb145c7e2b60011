"""How long what is kept (PROTOCOLS, 12): which checkpoints stay, when logs go, settings that contradict each other."""

import pytest
from pydantic import ValidationError

from lepton_core.errors import ErrorCode
from lepton_core.ids import new_ulid
from lepton_core.objects.store import ObjectStore
from lepton_registry.artifacts import blobs
from lepton_registry.artifacts.collection import Collector
from lepton_registry.database.leadership import Leadership
from lepton_registry.lineage import edges
from lepton_registry.logs import retention as log_retention
from lepton_registry.logs import store as logs
from lepton_registry.logs.chunks import NO_LONGER_KEPT, LogChunks
from lepton_registry.logs.retention import LogRetention
from lepton_registry.runs import checkpoints
from lepton_registry.runs import store as runs
from lepton_registry.settings import DEFAULT_RETENTION, RetentionSettings

AT_ONCE = DEFAULT_RETENTION.model_copy(
    update={"unused_file_seconds": -1, "deletion_wait_seconds": -1, "orphan_object_seconds": -1, "log_days": -1}
)


@pytest.fixture
def objects(s3) -> ObjectStore:
    made = ObjectStore(s3.endpoint, s3.access_key, s3.secret_key, bucket=s3.bucket)
    made.ensure_bucket()
    return made


@pytest.fixture
async def leadership(database) -> Leadership:
    leading = Leadership(database, alone=True)
    assert await leading.try_to_lead()
    return leading


async def steps(scene, run_id):
    rows = await scene.database.read(lambda conn: checkpoints.list_of_run(conn, scene.project, run_id))
    return [row.step for row in rows]


async def test_the_last_two_and_the_best_stay(scene):
    attempt = await scene.started(await scene.worker())
    scores = {1: 0.5, 2: 0.9, 3: 0.9, 4: None, 5: 0.7, 6: None, 7: 0.1}
    for step, score in scores.items():
        await scene.checkpoint(attempt.id, step=step, score=score)
    assert await steps(scene, attempt.run_id) == [2, 6, 7], "of equal ones the first: the later did not improve on it"
    await scene.checkpoint(attempt.id, step=8, score=0.95)
    await scene.checkpoint(attempt.id, step=9)
    await scene.checkpoint(attempt.id, step=10)
    assert await steps(scene, attempt.run_id) == [8, 9, 10]


async def test_the_best_is_of_the_run_and_not_of_the_attempt(scene):
    worker = await scene.worker()
    first = await scene.started(worker)
    await scene.checkpoint(first.id, step=1, score=0.9)
    for step in (2, 3):
        await scene.checkpoint(first.id, step=step, score=0.1)
    await scene.pass_time(scene.lease_seconds + 2)
    second = (await scene.claim(worker)).attempt
    for step in (4, 5, 6):
        await scene.checkpoint(second.id, step=step, score=0.2)
    assert await steps(scene, first.run_id) == [1, 3, 5, 6], "the best, where it was resumed, the last two"


async def test_a_best_one_that_comes_late_stays(scene):
    """The worker commits it after a newer one had overtaken it."""
    attempt = await scene.started(await scene.worker())
    for step in (2, 3, 4):
        await scene.checkpoint(attempt.id, step=step, score=0.1)
    await scene.checkpoint(attempt.id, step=1, score=0.5)
    assert await steps(scene, attempt.run_id) == [3, 4, 1]


async def test_what_lineage_names_stays(scene):
    attempt = await scene.started(await scene.worker())
    named = await scene.checkpoint(attempt.id, step=1)
    edge = edges.Edge("mv_elsewhere", "derived_from", named.id)
    await scene.database.write(lambda conn: edges.record(conn, scene.project, [edge]))
    for step in (2, 3, 4):
        await scene.checkpoint(attempt.id, step=step)
    assert await steps(scene, attempt.run_id) == [1, 3, 4]


async def test_how_many_stay_can_be_set(scene):
    attempt = await scene.started(await scene.worker())
    for step in range(1, 6):
        await scene.checkpoint(attempt.id, step=step, keep_last=3)
    assert await steps(scene, attempt.run_id) == [3, 4, 5]


async def test_a_score_that_is_no_number_is_refused(scene):
    attempt = await scene.started(await scene.worker())
    error = await scene.refused(scene.checkpoint(attempt.id, step=1, score=float("nan")))
    assert (error.code, error.fields[0].field) == (ErrorCode.INVALID, "score")


async def test_the_files_of_a_checkpoint_that_was_dropped_are_collected(scene, objects, leadership):
    attempt = await scene.started(await scene.worker())
    made = {step: await scene.files(f"weights {step}") for step in (1, 2, 3)}
    for step, files in made.items():
        await scene.checkpoint(attempt.id, step=step, content=f"weights {step}")
        assert files
    references = [checkpoints.keeps_manifest, runs.keeps_manifest]
    await Collector(scene.database, objects, references, retention=AT_ONCE, leadership=leadership).collect()
    digests = [files[0].digest for files in made.values()]
    missing = await scene.database.read(lambda conn: blobs.find_missing(conn, scene.project, digests))
    assert missing == digests[:1]


async def logged(scene, objects, text=b"hello\n"):
    """The attempt of a run with a log, and who writes and reads it."""
    attempt = await scene.started(await scene.worker())
    chunks = LogChunks(scene.database, objects, max_bytes_per_run=1 << 20)
    assert await chunks.append(attempt.id, "rank-0", 0, text) == (len(text), False)
    return attempt, chunks


async def read(scene, chunks, run_id, **more):
    options = {"stream": "", "after": 0, "limit": 10} | more
    rows, end = await scene.database.read(lambda conn: logs.read(conn, scene.project, run_id, **options))
    return b"".join(await chunks.read(rows)), end


async def test_the_log_of_a_run_that_ended_long_ago_goes_and_a_line_says_so(scene, objects, leadership):
    attempt, chunks = await logged(scene, objects)
    keeper = LogRetention(scene.database, objects, retention=AT_ONCE, leadership=leadership)
    assert await keeper.collect() == (0, 0), "it still runs"
    await scene.finish(attempt.id, "succeeded")
    patient = LogRetention(scene.database, objects, retention=DEFAULT_RETENTION, leadership=leadership)
    assert await patient.collect() == (0, 0), "it has ended just now"
    assert await read(scene, chunks, attempt.run_id) == (b"hello\n", True)
    assert await keeper.collect() == (1, 0)
    assert list(objects.list_keys("logs/")) == []
    for stream in ("", "rank-0"):
        assert await read(scene, chunks, attempt.run_id, stream=stream) == (NO_LONGER_KEPT, True)
    assert await keeper.collect() == (0, 0), "the line stays"


async def test_a_chunk_without_a_row_goes_and_one_with_a_row_stays(scene, objects, leadership):
    """A crash came between the object and its row, or between the rows' end and the objects'."""
    attempt, _ = await logged(scene, objects)
    objects.put(f"logs/{attempt.run_id}/{new_ulid()}", b"nobody knows me")
    keeper = LogRetention(scene.database, objects, retention=AT_ONCE, leadership=leadership)
    assert await keeper.collect() == (0, 1)
    await scene.finish(attempt.id, "failed")
    left = await scene.database.write(lambda conn: log_retention.drop(conn, attempt.run_id))
    assert list(objects.list_keys("logs/")) == left
    assert await keeper.collect() == (0, 1)
    assert list(objects.list_keys("logs/")) == []


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"deletion_wait_seconds": 900}, "deletion_wait_seconds must be more than read_url_seconds"),
        ({"read_url_seconds": 7200}, "deletion_wait_seconds must be more than read_url_seconds"),
        ({"upload_seconds": 48 * 3600}, "unused_file_seconds must be at least upload_seconds"),
        ({"last_checkpoints": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_would_delete_what_is_in_use_are_refused(changed, told):
    with pytest.raises(ValidationError, match=told):
        RetentionSettings(**changed)
