"""Deployments: who follows an alias gets a pinned revision with its move; desired and last good; rollback."""

import asyncio

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import digest_of
from lepton_registry.artifacts import blobs
from lepton_registry.artifacts.manifest import File
from lepton_registry.database.engine import Database
from lepton_registry.deployments import revisions, store
from lepton_registry.deployments.watch import ServingWatch
from lepton_registry.models import aliases
from lepton_registry.models import store as models

PROJECT, OTHER = "prj_a", "prj_b"

FOLLOWERS = [store.Followers()]


@pytest.fixture
async def three_versions(database: Database) -> None:
    """digits@1 to @3, champion at 1."""

    def work(conn):
        for number in range(1, 4):
            file = File("model.onnx", digest_of(b"%d" % number), 1)
            blobs.add(conn, PROJECT, [blobs.Stored(file.digest, 1, "key", 0)])
            models.register_version(
                conn, PROJECT, model="digits", files=[file], signature_json="{}", run_id=f"run_{number}"
            )

    await database.write(work)
    await move(database, 1)


async def move(database: Database, version: int) -> None:
    await database.write(
        lambda conn: aliases.set_alias(
            conn,
            PROJECT,
            model="digits",
            alias="champion",
            version=version,
            expected_version=0,
            updated_by="key_1",
            followers=FOLLOWERS,
        )
    )


async def create(database: Database, model: str = "digits@champion", name: str = "digits"):
    return await database.write(lambda conn: store.create(conn, PROJECT, name=name, model=model, created_by="key_1"))


async def report(database: Database, revision_id: str, state: str, replica: str = "r1", reason: str = "") -> None:
    await database.write(
        lambda conn: revisions.report(conn, revision_id=revision_id, replica_id=replica, state=state, reason=reason)
    )


async def look(database: Database, name: str = "digits"):
    """(deployment, its revisions by number)"""

    def work(conn):
        row = store.get(conn, PROJECT, name)
        return row, {revision.number: revision for revision in revisions.list_revisions(conn, row.id)}

    return await database.read(work)


pytestmark = pytest.mark.usefixtures("three_versions")


async def test_moving_an_alias_makes_a_pinned_revision_of_each_follower(database):
    await create(database)
    await create(database, "digits@1", "pinned")
    await move(database, 2)
    deployment, found = await look(database)
    assert [found[number].model_version for number in (1, 2)] == [1, 2]
    assert deployment.desired_id == found[2].id
    assert found[1].state == "retired", "it never was warm, and is not wanted any more"
    _, pinned = await look(database, "pinned")
    assert list(pinned) == [1]


async def test_the_same_move_again_makes_no_revision(database):
    await create(database)
    await move(database, 1)
    _, found = await look(database)
    assert list(found) == [1]


async def test_last_good_stays_while_the_new_one_fails(database):
    first, _ = await create(database)
    await report(database, first.desired_id, "ready")
    await move(database, 2)
    second, _ = await look(database)
    await report(database, second.desired_id, "failed", reason="digest mismatch")
    deployment, found = await look(database)
    assert deployment.last_good_id == first.desired_id
    assert (found[1].state, found[2].state, found[2].reason) == ("ready", "failed", "digest mismatch")


async def test_a_new_good_one_retires_the_old_and_a_late_report_changes_nothing(database):
    first, _ = await create(database)
    await report(database, first.desired_id, "ready")
    await move(database, 2)
    second, _ = await look(database)
    await report(database, second.desired_id, "ready")
    await report(database, first.desired_id, "ready", replica="slow")
    await report(database, second.desired_id, "failed", replica="broken")
    deployment, found = await look(database)
    assert deployment.last_good_id == second.desired_id
    assert (found[1].state, found[2].state) == ("retired", "ready")


async def test_rollback_serves_the_version_before_pinned(database):
    await create(database)
    await move(database, 2)
    rolled = await database.write(
        lambda conn: store.rollback(conn, PROJECT, name="digits", revision=0, created_by="key_1")
    )
    await move(database, 3)
    deployment, found = await look(database)
    assert deployment.desired_id == rolled.desired_id, "a pinned deployment does not follow"
    assert (found[3].model_version, deployment.alias) == (1, "")


async def test_rollback_passes_over_what_could_not_be_served(database):
    await create(database)
    await move(database, 2)
    broken, _ = await look(database)
    await report(database, broken.desired_id, "failed", reason="digest mismatch")
    await move(database, 3)
    await database.write(lambda conn: store.rollback(conn, PROJECT, name="digits", revision=0, created_by="key_1"))
    _, found = await look(database)
    assert found[4].model_version == 1


async def test_rollback_needs_something_to_go_back_to(database):
    await create(database)
    for revision, code in ((0, ErrorCode.FAILED_PRECONDITION), (7, ErrorCode.NOT_FOUND)):
        with pytest.raises(LeptonError) as raised:
            await database.write(
                lambda conn, wanted=revision: store.rollback(
                    conn, PROJECT, name="digits", revision=wanted, created_by="key_1"
                )
            )
        assert raised.value.code is code


async def test_create_again_is_the_same_and_another_reference_is_refused(database):
    first, created = await create(database)
    again, created_again = await create(database)
    assert (created, created_again, again.id) == (True, False, first.id)
    with pytest.raises(LeptonError) as raised:
        await create(database, "digits@2")
    assert raised.value.code is ErrorCode.ALREADY_EXISTS


async def test_update_points_elsewhere(database):
    await create(database)
    await database.write(lambda conn: store.update(conn, PROJECT, name="digits", model="digits@3", updated_by="key_1"))
    deployment, found = await look(database)
    assert (deployment.alias, found[2].model_version) == ("", 3)


async def test_a_deleted_name_can_be_used_again_and_lineage_keeps_the_old_one(database):
    first, _ = await create(database)
    await database.write(lambda conn: store.delete(conn, PROJECT, name="digits"))
    with pytest.raises(LeptonError):
        await look(database)
    second, created = await create(database)
    assert created
    assert second.id != first.id
    kept = await database.read(lambda conn: store.desired_revision_id(conn, PROJECT, first.id))
    assert kept == first.desired_id


async def test_an_alias_that_is_followed_cannot_be_deleted(database):
    await create(database)
    with pytest.raises(LeptonError, match="followed by: digits"):
        await database.write(
            lambda conn: aliases.delete_alias(conn, PROJECT, model="digits", alias="champion", followers=FOLLOWERS)
        )


async def test_a_missing_model_names_the_field(database):
    with pytest.raises(LeptonError) as raised:
        await create(database, "digitz@champion")
    assert raised.value.code is ErrorCode.INVALID
    assert (raised.value.fields[0].field, raised.value.fields[0].allowed) == ("model", "digits")


async def test_the_name_of_a_path_of_the_inference_protocol_is_reserved(database):
    with pytest.raises(LeptonError) as raised:
        await create(database, name="stats")
    assert raised.value.code is ErrorCode.INVALID
    assert raised.value.fields[0].field == "name"


async def test_an_alias_moved_while_a_follower_is_made_is_not_missed(database):
    await asyncio.gather(create(database), move(database, 2), create(database, name="second"), move(database, 3))
    target = await database.read(lambda conn: models.resolve(conn, PROJECT, "digits@champion"))
    for name in ("digits", "second"):
        deployment, found = await look(database, name)
        desired = next(row for row in found.values() if row.id == deployment.desired_id)
        assert desired.model_version == target.version


async def test_watch_sends_the_full_state_at_once_and_after_each_change(database):
    await create(database)
    watch = ServingWatch(database, resend_seconds=60)
    states = watch.states()
    async with asyncio.timeout(10):
        first = await anext(states)
        assert [(target.deployment.name, target.deployment.desired.number) for target in first] == [("digits", 1)]
        assert [file.path for file in first[0].desired_files] == ["model.onnx"]
        assert not first[0].last_good_files
        await report(database, first[0].deployment.desired.id, "ready")
        second = await anext(states)
        assert second[0].deployment.last_good.number == 1
        await move(database, 2)
        third = await anext(states)
        assert (third[0].deployment.desired.number, third[0].deployment.last_good.number) == (2, 1)
    await states.aclose()


async def test_watch_repeats_the_state(database):
    states = ServingWatch(database, resend_seconds=0.05, poll_seconds=0.01).states()
    async with asyncio.timeout(10):
        assert await anext(states) == []
        assert await anext(states) == []
    await states.aclose()
