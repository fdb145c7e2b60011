"""Submission (PROTOCOLS, 1): one key, one run."""

import asyncio
import json

import pytest
import sqlalchemy as sa

from lepton_core.errors import ErrorCode, LeptonError
from lepton_registry.runs import store, submission


async def put(scene, job):
    return await scene.database.write(lambda conn: submission.submit(conn, job))


async def test_the_same_key_gives_the_same_run(scene):
    job = scene.job(key="k")
    first, created = await put(scene, job)
    again, created_again = await put(scene, job)
    assert (created, created_again) == (True, False)
    assert again == first
    assert [kind for kind, subject in await scene.events() if subject == first.id] == ["run.queued"]


async def test_another_body_under_the_same_key_is_a_conflict(scene):
    await put(scene, scene.job(key="k"))
    error = await scene.refused(put(scene, scene.job(key="k", name="other")))
    assert error.code is ErrorCode.CONFLICT


async def test_many_at_once_under_one_key_make_one_run(scene):
    job = scene.job(key="k")
    answers = await asyncio.gather(*[put(scene, job) for _ in range(20)])
    assert len({row.id for row, _ in answers}) == 1
    assert sum(created for _, created in answers) == 1


async def test_namespaces_and_projects_keep_keys_apart(scene):
    await scene.dataset("other", project="prj_b")
    jobs = [scene.job(key="k"), scene.job(key="k", namespace="ing_x"), scene.job(key="k", project="prj_b")]
    assert len({(await put(scene, job))[0].id for job in jobs}) == 3


async def test_latest_is_resolved_when_the_run_is_made_and_recorded(scene):
    run = await scene.submit(data="digits@latest")
    second = await scene.dataset("two")
    later = await scene.submit(data="digits")
    assert (run.dataset, run.dataset_version) == ("digits", 1)
    assert json.loads(run.spec_json)["data"] == "digits@1"
    assert json.loads(run.spec_json)["recipe"] == "r@1"
    assert (later.dataset_version_id, later.data_digest) == (second.id, second.digest)


async def test_a_retry_after_latest_moved_is_the_same_run(scene):
    """The answer got lost, then somebody pushed a new version: the retry must not look like another job."""
    job = scene.job(key="k")
    first, _ = await put(scene, job)
    await scene.dataset("two")
    assert (await put(scene, job))[0] == first


async def test_a_known_key_answers_even_when_the_job_would_be_refused_now(scene):
    first, _ = await put(scene, scene.job(key="k"))
    refused_now = scene.job(key="k", data="gone@latest")
    same_digest = submission.Submission(
        refused_now.project,
        scene.job(key="k").key,
        refused_now.spec,
        refused_now.body,
        "unknown",
        "7",
        "key_1",
    )
    assert (await put(scene, same_digest))[0] == first


async def test_a_missing_dataset_is_refused_with_the_field_and_what_there_is(scene):
    error = await scene.refused(scene.submit(data="digitz@latest"))
    assert error.code is ErrorCode.INVALID
    assert (error.fields[0].field, error.fields[0].allowed) == ("data", "digits")
    assert (await scene.refused(scene.submit(data="digits@9"))).fields[0].allowed == "1 to 1"


async def test_a_recipe_that_nobody_announced_is_refused(scene):
    error = await scene.refused(scene.submit(recipe="nope"))
    assert (error.code, error.fields[0].field) == (ErrorCode.INVALID, "recipe")
    assert "r@1" in error.fields[0].allowed


async def test_another_projects_dataset_is_not_seen(scene):
    assert (await scene.refused(scene.submit(project="prj_b"))).code is ErrorCode.INVALID


async def test_a_queued_run_is_cancelled_at_once_and_a_running_one_is_asked(scene):
    queued = await scene.submit()
    cancelled = await scene.database.write(lambda conn: store.cancel(conn, scene.project, queued.id, "key_1"))
    assert (cancelled.state, cancelled.finished_at_us > 0) == ("cancelled", True)
    attempt = await scene.started(await scene.worker())
    asked = await scene.database.write(lambda conn: store.cancel(conn, scene.project, attempt.run_id, "key_1"))
    assert (asked.state, asked.cancel_requested) == ("running", True)
    assert await scene.heartbeat(attempt.id) == "cancel"


async def test_cancelling_twice_is_harmless_and_of_an_ended_run_refused(scene):
    run = await scene.submit()
    for _ in range(2):
        assert (await scene.database.write(lambda c: store.cancel(c, scene.project, run.id, "k"))).state == "cancelled"
    attempt = await scene.started(await scene.worker())
    await scene.finish(attempt.id, "succeeded")
    refused = scene.refused(scene.database.write(lambda c: store.cancel(c, scene.project, attempt.run_id, "k")))
    assert (await refused).code is ErrorCode.FAILED_PRECONDITION


async def test_a_retry_repeats_the_exact_versions(scene):
    run = await scene.submit(data="digits@latest")
    await scene.dataset("two")

    def again(key):
        return scene.database.write(lambda conn: store.retry(conn, scene.project, run.id, key, "key_2"))

    assert (await scene.refused(again("k"))).code is ErrorCode.FAILED_PRECONDITION
    await scene.database.write(lambda conn: store.cancel(conn, scene.project, run.id, "key_1"))
    retried, created = await again("k")
    assert created
    assert (retried.retry_of, retried.dataset_version_id) == (run.id, run.dataset_version_id)
    assert retried.created_by == "key_2"
    assert await again("k") == (retried, False)


async def test_runs_are_listed_newest_first_by_page(scene):
    ids = [(await scene.submit()).id for _ in range(5)]
    await scene.database.write(lambda conn: store.cancel(conn, scene.project, ids[0], "k"))

    def listed(**more):
        options = {"state": None, "before": "", "size": 3} | more
        return scene.database.read(lambda conn: [r.id for r in store.list_runs(conn, scene.project, **options).rows])

    first = await listed()
    assert len(first) == 3
    assert first == sorted(first, reverse=True)
    assert set(first) | set(await listed(before=first[-1])) == set(ids)
    assert await listed(state="cancelled") == [ids[0]]
    assert await listed(id_prefix=ids[2]) == [ids[2]]
    assert await listed(id_prefix="run_", size=9) == sorted(ids, reverse=True)
    assert await listed(id_prefix="run_%") == []


async def test_filters_narrow_the_list_over_all_pages(scene):
    named = (await scene.submit(name="special")).id
    for _ in range(3):
        await scene.submit()

    def listed(**more):
        options = {"state": None, "before": "", "size": 1} | more
        return scene.database.read(lambda conn: [r.id for r in store.list_runs(conn, scene.project, **options).rows])

    assert await listed(name="special") == [named]
    assert await listed(name="special", recipe="r") == [named]
    assert await listed(name="special", recipe="other") == []
    for field, reference in {"dataset": "d@1", "model": "m@1", "recipe": "r@1", "name": "not a name"}.items():
        with pytest.raises(LeptonError, match=f"{field}: not a valid name"):
            await listed(**{field: reference})
    assert await listed(dataset="none") == []
    assert await listed(model="none") == []


async def test_runs_with_all_of_some_labels(scene):
    both = (await scene.submit(labels={"team": "vision", "stage": "x" * 256})).id
    one = (await scene.submit(labels={"team": "vision", "stage": "test"})).id
    await scene.submit(labels={"team": "speech"})

    def listed(**labels):
        options = {"state": None, "before": "", "size": 9, "labels": labels}
        return scene.database.read(lambda conn: [r.id for r in store.list_runs(conn, scene.project, **options).rows])

    assert await listed(team="vision") == [one, both]
    assert await listed(team="vision", stage="x" * 256) == [both]
    assert await listed(team="speech", stage="test") == []
    assert await listed(team="") == []
    options = {"state": None, "before": "", "size": 9, "labels": {"team": "vision"}}
    assert await scene.database.read(lambda conn: store.list_runs(conn, "prj_other", **options)) == ([], False)


async def test_beginnings_of_ids_match_in_every_collation(scene):
    def collate(conn):
        """In another order than that of the codes, if the server has one: en_US ignores punctuation at first."""
        if conn.dialect.name == "postgresql":
            others = (
                "SELECT collname FROM pg_collation WHERE collname IN ('en-x-icu', 'en_US', 'en_US.utf8', 'und-x-icu')"
            )
            for name in conn.scalars(sa.text(f"{others} LIMIT 1")).all():
                conn.execute(sa.text(f'ALTER TABLE runs ALTER COLUMN id TYPE varchar COLLATE "{name}"'))

    await scene.database.write(collate)
    ids = [(await scene.submit()).id for _ in range(3)]

    def listed(id_prefix):
        options = {"state": None, "before": "", "size": 9, "id_prefix": id_prefix}
        return scene.database.read(lambda conn: [r.id for r in store.list_runs(conn, scene.project, **options).rows])

    for length in range(1, 31):
        beginning = ids[1][:length]
        assert await listed(beginning) == sorted((id for id in ids if id.startswith(beginning)), reverse=True)
    for other in ("run_%", "run_\\", ids[0].lower(), ids[0] + "0", "key_0"):
        assert await listed(other) == []


@pytest.mark.parametrize("name", ["entry", "requirements"])
async def test_files_of_a_script_that_are_not_in_its_code_are_refused(scene, name):
    code = (await scene.dataset("code")).digest
    script = {"entry": "./file0", "requirements": "file0", "code": code}
    await scene.submit(recipe="", data="", script=script)
    error = await scene.refused(scene.submit(recipe="", data="", script=script | {name: "none.txt"}))
    assert (error.code, error.fields[0].field) == (ErrorCode.INVALID, f"script.{name}")
    assert "file0" in error.fields[0].allowed


STORED_BY_AN_EARLIER_RELEASE = (
    '{"data":"digits@1","name":"job","recipe":"r@1","register":null,"resources":{"ranks":2},"retries":1,"script":null,'
    '"spec_version":1,"train":{"epochs":3}}'
)


async def test_a_spec_that_was_stored_before_stays_readable_and_runs_again(scene):
    """Never change this text: databases hold it."""
    run = await scene.submit()
    await scene.database.write(lambda conn: store.cancel(conn, scene.project, run.id, "key_1"))
    stored = sa.update(store.RUNS).where(store.RUNS.c.id == run.id).values(spec_json=STORED_BY_AN_EARLIER_RELEASE)
    await scene.database.write(lambda conn: conn.execute(stored))
    again, _ = await scene.database.write(lambda conn: store.retry(conn, scene.project, run.id, "again", "key_2"))
    assert (again.ranks, again.retries, again.dataset_version, again.recipe_version) == (2, 1, 1, "1")
    claimed = await scene.claim(await scene.worker(ranks=2))
    assert json.loads(claimed.run.spec_json)["train"] == {"epochs": 3}
