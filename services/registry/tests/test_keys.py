"""Projects and API keys."""

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity import Role, new_api_key, token_sha256
from lepton_core.ids import new_id
from lepton_proto.v1 import projects_pb2 as pb
from lepton_proto.v1 import projects_pb2_grpc as rpc
from lepton_registry.authentication import read_attempt_secret
from lepton_registry.projects import store
from lepton_registry.refusal import RefusedToStart


async def made(database, **more):
    options = {"project": "prj_a", "name": "ci", "role": Role.EDITOR, "ttl_seconds": 0, "created_by": "key_1"} | more
    return await database.write(lambda conn: store.create_key(conn, **options))


async def verified(database, token, key_id=""):
    found = key_id or f"key_{token.split('_')[1]}"
    return await database.read(lambda conn: store.verify_key(conn, found, token_sha256(token)))


async def refused(call):
    with pytest.raises(LeptonError) as raised:
        await call
    return raised.value


async def test_a_key_is_verified_by_its_hash_and_stored_nowhere(database):
    row, token = await made(database)
    assert await verified(database, token) == row
    assert token.split("_")[2] not in str(tuple(row))


async def test_wrong_revoked_expired_and_unknown_keys_get_the_same_answer(database):
    row, token = await made(database)
    wrong = token[:-1] + ("0" if token[-1] != "0" else "1")
    _, expired = await made(database, ttl_seconds=1)
    _, revoked = await made(database)
    revoked_id = f"key_{revoked.split('_')[1]}"
    await database.write(lambda conn: store.revoke_key(conn, "prj_a", revoked_id, "key_1"))
    await database.write(
        lambda conn: conn.execute(store.KEYS.update().where(store.KEYS.c.expires_at_us > 0).values(expires_at_us=1))
    )
    answers = {
        str(await refused(verified(database, each))) for each in (wrong, expired, revoked, new_api_key(new_id("key")))
    }
    assert len(answers) == 1
    assert (await refused(verified(database, wrong))).code is ErrorCode.UNAUTHENTICATED
    assert await verified(database, token) == row


async def test_keys_of_another_project_are_not_seen(database):
    row, _ = await made(database)
    call = database.write(lambda conn: store.revoke_key(conn, "prj_b", row.id, "key_1"))
    assert (await refused(call)).code is ErrorCode.NOT_FOUND
    assert await database.read(lambda conn: store.list_keys(conn, "prj_b")) == []


async def test_bad_names_and_lifetimes_are_refused(database):
    assert (await refused(made(database, name="a b"))).fields[0].field == "name"
    assert (await refused(made(database, ttl_seconds=-1))).fields[0].field == "ttl_seconds"


async def test_the_operators_key_is_made_once_and_never_replaced(database):
    token = new_api_key(new_id("key"))
    for _ in range(2):
        await database.write(lambda conn: store.ensure_operator_key(conn, token))
    row = await verified(database, token)
    assert row.role == "operator"
    other = new_api_key(row.id)
    with pytest.raises(RefusedToStart, match="another secret"):
        await database.write(lambda conn: store.ensure_operator_key(conn, other))


async def test_nobody_makes_a_key_above_its_own_role_or_outside_its_project(server):
    admin = rpc.KeyServiceStub(await server.gateway(Role.ADMIN))
    created = await admin.CreateKey(pb.CreateKeyRequest(name="ci", role=pb.ROLE_EDITOR))
    assert created.secret.startswith("lpk_")
    for request in (
        pb.CreateKeyRequest(name="ci", role=pb.ROLE_OPERATOR),
        pb.CreateKeyRequest(name="ci", role=pb.ROLE_VIEWER, project="somewhere"),
    ):
        assert (await refused(admin.CreateKey(request))).code is ErrorCode.PERMISSION_DENIED
    editor = rpc.KeyServiceStub(await server.gateway(Role.EDITOR))
    assert (await refused(editor.ListKeys(pb.ListKeysRequest()))).code is ErrorCode.PERMISSION_DENIED


async def test_an_operator_makes_projects_and_keys_for_them(server):
    channel = await server.gateway()
    project = (await rpc.ProjectServiceStub(channel).CreateProject(pb.CreateProjectRequest(name="vision"))).project
    again = rpc.ProjectServiceStub(channel).CreateProject(pb.CreateProjectRequest(name="vision"))
    assert (await refused(again)).code is ErrorCode.ALREADY_EXISTS
    keys = rpc.KeyServiceStub(channel)
    created = await keys.CreateKey(pb.CreateKeyRequest(name="ci", role=pb.ROLE_ADMIN, project="vision"))
    assert created.key.project == project.id
    theirs = rpc.KeyServiceStub(await server.gateway(Role.ADMIN, project.id))
    assert [key.id for key in (await theirs.ListKeys(pb.ListKeysRequest())).keys] == [created.key.id]
    revoked = (await theirs.RevokeKey(pb.RevokeKeyRequest(id=created.key.id))).key
    assert revoked.revoked_at_us > 0
    assert (await theirs.RevokeKey(pb.RevokeKeyRequest(id=created.key.id))).key == revoked


@pytest.mark.parametrize("secret", ["", "\n", "too short\n"])
def test_attempt_tokens_are_not_made_of_a_secret_that_can_be_guessed(tmp_path, secret):
    file = tmp_path / "attempts.secret"
    file.write_text(secret)
    with pytest.raises(RefusedToStart, match="at least 16"):
        read_attempt_secret(file)
