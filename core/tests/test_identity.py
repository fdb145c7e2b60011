"""Principals, tokens, THE policy table, and what is remembered of a key."""

import asyncio
import re

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity import (
    POLICIES,
    Principal,
    PrincipalKind,
    Role,
    TokenAuthenticator,
    attempt_token,
    authorize_by,
    encode_acting,
    methods_without_policy,
    new_api_key,
    new_service_token,
    parse_token,
    require_attempt,
    set_principal,
    token_sha256,
    with_acting,
)
from lepton_core.ids import new_id
from lepton_proto.inference import open_inference_pb2
from lepton_proto.v1 import (
    artifacts_pb2,
    attempts_pb2,
    datasets_pb2,
    deployments_pb2,
    events_pb2,
    jobs_pb2,
    lineage_pb2,
    logs_pb2,
    metrics_pb2,
    models_pb2,
    projects_pb2,
    recipes_pb2,
    runs_pb2,
    workers_pb2,
)

MODULES = (
    artifacts_pb2, attempts_pb2, datasets_pb2, deployments_pb2, events_pb2, jobs_pb2, lineage_pb2, logs_pb2,
    metrics_pb2, models_pb2, projects_pb2, recipes_pb2, runs_pb2, workers_pb2, open_inference_pb2,
)  # fmt: skip
RPCS = [
    f"/{service.full_name}/{method.name}"
    for module in MODULES
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


def key(role: Role) -> Principal:
    return Principal(PrincipalKind.KEY, "key_1", project="prj_1", role=role)


def acting(service: str, role: Role | None) -> Principal:
    return Principal(PrincipalKind.SERVICE, "key_1", project="prj_1" if role else "", role=role, service=service)


WORKER = Principal(PrincipalKind.WORKER, "trainer", service="trainer")
ATTEMPT = Principal(PrincipalKind.ATTEMPT, "att_1", attempt_id="att_1")


def permitted(principal: Principal | None, method: str) -> bool:
    try:
        authorize_by(POLICIES.get(method), principal, method)
    except LeptonError as error:
        return error.code not in (ErrorCode.PERMISSION_DENIED, ErrorCode.UNAUTHENTICATED)
    return True


def test_every_rpc_of_every_contract_has_a_row_and_no_row_is_stale() -> None:
    assert methods_without_policy(RPCS) == []
    rows = {row for row in POLICIES if row.startswith(("/lepton.v1.", "/inference."))}
    assert rows == set(RPCS)


def test_rows_are_written_the_way_they_are_looked_up() -> None:
    form = re.compile(r"(GET|POST|PUT|PATCH|DELETE) /\S*|/[\w.]+/\w+")
    assert [row for row in POLICIES if not form.fullmatch(row)] == []


def test_only_health_reflection_and_pages_about_the_service_are_public() -> None:
    public = {row for row, policy in POLICIES.items() if policy.public}
    pages = r"GET /(|healthz|readyz|openapi\.json|docs(/assets/\{file\})?|v1/schemas/job\.json|v2/health/(live|ready))"
    about = rf"{pages}|/grpc\..*|/inference\..*/Server(Live|Ready)"
    assert [row for row in sorted(public) if not re.fullmatch(about, row)] == []


def test_no_stranger_passes_any_row_that_is_not_public() -> None:
    strangers = (None, acting("mail", Role.OPERATOR), acting("", Role.OPERATOR))
    passed = [
        row for row, policy in POLICIES.items() for each in strangers if permitted(each, row) and not policy.public
    ]
    assert passed == []


def test_a_method_without_a_row_is_open_to_nobody() -> None:
    assert methods_without_policy(["GET /new", "POST /v1/jobs"]) == ["GET /new"]
    assert not permitted(key(Role.OPERATOR), "GET /new")


def test_keys_never_reach_the_registry_and_services_never_the_front_door() -> None:
    registry = [row for row in RPCS if row.startswith("/lepton.v1.") and "JobService" not in row]
    assert [row for row in registry if permitted(key(Role.OPERATOR), row)] == []
    assert not permitted(acting("gateway", Role.OPERATOR), "/lepton.v1.JobService/Submit")


def test_roles_are_ordered() -> None:
    rows = {"GET /v1/runs": Role.VIEWER, "POST /v1/jobs": Role.EDITOR, "POST /v1/keys": Role.ADMIN}
    for row, needed in rows.items():
        assert [role for role in Role if permitted(key(role), row)] == [role for role in Role if role.includes(needed)]


def test_a_service_has_the_role_of_whom_it_acts_for() -> None:
    submit = "/lepton.v1.RunService/SubmitRuns"
    assert permitted(acting("gateway", Role.EDITOR), submit)
    assert not permitted(acting("gateway", Role.VIEWER), submit)
    assert not permitted(acting("gateway", None), submit)
    assert not permitted(acting("inference", Role.OPERATOR), submit)


def test_workers_claim_and_attempts_write_and_neither_does_more() -> None:
    claim, finish = "/lepton.v1.AttemptService/Claim", "/lepton.v1.AttemptService/Finish"
    assert permitted(WORKER, claim)
    assert permitted(ATTEMPT, finish)
    assert not permitted(ATTEMPT, claim)
    assert not permitted(WORKER, finish)
    for row in ("/lepton.v1.RunService/GetRun", "/lepton.v1.KeyService/VerifyKey", "POST /v1/jobs"):
        assert not permitted(WORKER, row)
        assert not permitted(ATTEMPT, row)


def test_an_attempt_touches_itself_alone() -> None:
    set_principal(ATTEMPT)
    assert require_attempt("att_1") is ATTEMPT
    with pytest.raises(LeptonError, match="another attempt"):
        require_attempt("att_2")
    set_principal(WORKER)
    with pytest.raises(LeptonError):
        require_attempt("")
    set_principal(None)
    with pytest.raises(LeptonError):
        require_attempt("att_1")


def test_acting_survives_its_encoding() -> None:
    service = Principal(PrincipalKind.SERVICE, "gateway", service="gateway")
    found = with_acting(service, encode_acting(key(Role.ADMIN)))
    assert found == acting("gateway", Role.ADMIN)
    with pytest.raises(LeptonError):
        with_acting(key(Role.VIEWER), encode_acting(key(Role.OPERATOR)))


@pytest.mark.parametrize(
    "text", ["", "x", "lpk", "lpk_a_b", "lpz_a_" + "0" * 64, "lpk__" + "0" * 64, "lpk_a_" + "0" * 63 + "\n"]
)
def test_what_has_not_the_shape_of_a_token(text: str) -> None:
    with pytest.raises(LeptonError) as caught:
        parse_token(text)
    assert caught.value.code is ErrorCode.UNAUTHENTICATED


class Keys:
    """Answers `verify_key` for one key, and counts."""

    def __init__(self) -> None:
        self.id = new_id("key")
        self.token = new_api_key(self.id)
        self.asked = 0
        self.called = asyncio.Event()
        self.fault: LeptonError | None = None
        self.now = 0.0

    async def verify(self, key_id: str, sha256: str) -> Principal:
        self.asked += 1
        self.called.set()
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        if (key_id, sha256) != (self.id, token_sha256(self.token)):
            raise LeptonError(ErrorCode.UNAUTHENTICATED, "no")
        return Principal(PrincipalKind.KEY, self.id, project="prj_1", role=Role.EDITOR)

    def authenticator(self, grace: float = 0.0) -> TokenAuthenticator:
        return TokenAuthenticator(verify_key=self.verify, outage_grace_seconds=grace, clock=lambda: self.now)


async def test_a_key_is_asked_for_once_by_all_who_wait_and_remembered_for_30_seconds() -> None:
    keys = Keys()
    authenticator = keys.authenticator()
    assert authenticator.cached(keys.token) is None
    await asyncio.gather(*(authenticator.authenticate(keys.token) for _ in range(20)))
    assert keys.asked == 1
    keys.now = 29.9
    assert authenticator.cached(keys.token) is not None
    keys.now = 30.0
    assert authenticator.cached(keys.token) is None


async def test_a_revoked_key_is_out_when_its_time_ends_or_at_once() -> None:
    keys = Keys()
    authenticator = keys.authenticator(grace=1000.0)
    await authenticator.authenticate(keys.token)
    keys.fault = LeptonError(ErrorCode.UNAUTHENTICATED, "revoked")
    authenticator.forget(keys.id)
    for now in (0.0, 31.0):
        keys.now = now
        with pytest.raises(LeptonError) as caught:
            await authenticator.authenticate(keys.token)
        assert caught.value.code is ErrorCode.UNAUTHENTICATED


async def test_during_an_outage_only_a_key_that_was_valid_lately_is_accepted() -> None:
    keys = Keys()
    authenticator = keys.authenticator(grace=100.0)
    await authenticator.authenticate(keys.token)
    keys.fault = LeptonError(ErrorCode.UNAVAILABLE, "down")
    keys.now = 129.0
    assert (await authenticator.authenticate(keys.token)).id == keys.id
    keys.now = 130.0
    with pytest.raises(LeptonError) as caught:
        await authenticator.authenticate(keys.token)
    assert caught.value.code is ErrorCode.UNAVAILABLE


async def test_a_key_that_is_revoked_during_its_check_is_not_cached() -> None:
    keys = Keys()
    authenticator = keys.authenticator()
    waiting = asyncio.ensure_future(authenticator.authenticate(keys.token))
    await keys.called.wait()
    authenticator.forget(keys.id)
    await waiting
    assert authenticator.cached(keys.token) is None


async def test_a_cancelled_request_does_not_cancel_the_check_for_the_others() -> None:
    keys = Keys()
    authenticator = keys.authenticator()
    first = asyncio.ensure_future(authenticator.authenticate(keys.token))
    second = asyncio.ensure_future(authenticator.authenticate(keys.token))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).id == keys.id


async def test_service_and_attempt_tokens() -> None:
    secret = b"s" * 32
    tokens = {"gateway": new_service_token("gateway"), "trainer": new_service_token("trainer")}
    looked_up: list[str] = []

    async def find_attempt(attempt_id: str) -> Principal:
        looked_up.append(attempt_id)
        return Principal(PrincipalKind.ATTEMPT, attempt_id, project="prj_1", attempt_id=attempt_id)

    authenticator = TokenAuthenticator(
        service_hashes={name: token_sha256(token) for name, token in tokens.items()},
        attempt_secret=secret,
        find_attempt=find_attempt,
    )
    gateway = await authenticator.authenticate(tokens["gateway"])
    assert (gateway.kind, gateway.service, gateway.role) == (PrincipalKind.SERVICE, "gateway", None)
    assert (await authenticator.authenticate(tokens["trainer"])).kind is PrincipalKind.WORKER
    attempt_id = new_id("att")
    attempt = await authenticator.authenticate(attempt_token(attempt_id, secret))
    assert (attempt.kind, attempt.attempt_id) == (PrincipalKind.ATTEMPT, attempt_id)
    assert authenticator.cached(attempt_token(attempt_id, secret)) is attempt
    for bad in (
        new_service_token("gateway"),
        new_service_token("unknown"),
        attempt_token(attempt_id, b"other"),
        attempt_token("att_x", secret),
        new_api_key(new_id("key")),
        tokens["gateway"].replace("gateway", "trainer"),
    ):
        with pytest.raises(LeptonError) as caught:
            await authenticator.authenticate(bad)
        assert caught.value.code is ErrorCode.UNAUTHENTICATED
    assert looked_up == [attempt_id], "a token with a wrong HMAC costs no look-up"
    # What a service is not built for, it refuses: none has a secret that is empty.
    for token in (tokens["gateway"], attempt_token(attempt_id, b""), new_api_key(new_id("key"))):
        with pytest.raises(LeptonError):
            await TokenAuthenticator().authenticate(token)
