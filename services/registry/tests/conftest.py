"""Fixtures of the registry's tests: an open database with all tables, and scenes played in it, on both databases."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from lepton_core.errors import LeptonError
from lepton_core.grpc.client import Channel, open_channel
from lepton_core.identity import (
    Principal,
    PrincipalKind,
    Role,
    new_api_key,
    new_service_token,
    token_sha256,
)
from lepton_core.ids import digest_of, new_id
from lepton_core.validation import canonical_json
from lepton_fixtures.databases import create_tables
from lepton_fixtures.servers import S3Bucket
from lepton_proto.v1 import projects_pb2, projects_pb2_grpc
from lepton_registry.artifacts import blobs
from lepton_registry.artifacts.manifest import File
from lepton_registry.database import leadership
from lepton_registry.database.engine import Database, open_database
from lepton_registry.deployments.store import Followers
from lepton_registry.lineage.kinds import NodeKinds
from lepton_registry.lineage.resolvers import RootFinder
from lepton_registry.main import serve
from lepton_registry.migrations.upgrade import upgrade
from lepton_registry.module import Module
from lepton_registry.modules import MODULES
from lepton_registry.runs import checkpoints, completion, store, submission
from lepton_registry.runs.states import AttemptState
from lepton_registry.runs.submission import Submission
from lepton_registry.scheduling import claims, sweeper
from lepton_registry.settings import RegistrySettings
from lepton_registry.workers import store as workers

PROJECT = "prj_a"
LEASE_SECONDS = 30
ROOTS = RootFinder(
    NodeKinds([kind for module in MODULES for kind in module.node_kinds]),
    [reference for module in MODULES for reference in module.node_references],
)


class Scene:
    """Workers and runs in a database, each step as the servicers take it."""

    project = PROJECT
    lease_seconds = LEASE_SECONDS

    def __init__(self, database: Database) -> None:
        self.database = database
        self.term = 0
        self._numbers = itertools.count(1)

    async def worker(self, *, id: str = "", incarnation: int = 1, ranks: int = 4, **more: Any) -> sa.Row[Any]:
        recipes = [
            workers.Announced(*each.split("@"), "", '{"type":"object"}') for each in more.get("recipes", ["r@1"])
        ]
        announcement = workers.Announcement(
            id or new_id("wrk"),
            "host",
            incarnation,
            recipes,
            more.get("scripts", False),
            ranks,
            0,
            more.get("isolates", False),
        )

        def work(conn: sa.Connection) -> sa.Row[Any]:
            row = workers.register(conn, announcement)
            sweeper.free_earlier_incarnations(conn, row.id, row.incarnation)
            return row

        return await self.database.write(work)

    async def files(self, *contents: str, project: str = PROJECT) -> list[File]:
        files = [File(f"file{at}", digest_of(text.encode()), len(text)) for at, text in enumerate(contents)]
        stored = [blobs.Stored(file.digest, file.bytes, "key", 0) for file in files]
        await self.database.write(lambda conn: blobs.add(conn, project, stored))
        return files

    async def dataset(self, content: str, project: str = PROJECT) -> sa.Row[Any]:
        from lepton_registry.artifacts import store as artifacts
        from lepton_registry.datasets import store as datasets

        files = await self.files(content, project=project)

        def work(conn: sa.Connection) -> sa.Row[Any]:
            digest = artifacts.commit_manifest(conn, project, files).digest
            return datasets.create_version(conn, project, name="digits", manifest_digest=digest)[0]

        return await self.database.write(work)

    def job(
        self, *, key: str = "", project: str = PROJECT, namespace: str = "client", isolated: bool = False, **spec: Any
    ) -> Submission:
        """A job of recipe r@1 on digits@latest, unless the spec says otherwise."""
        body = {"spec_version": 1, "name": "job", "recipe": "r", "data": "digits@latest", "train": {}} | spec
        digest = f"1:{digest_of(canonical_json(body).encode())}"
        found = submission.Key(namespace, key or f"key-{next(self._numbers)}", digest)
        recipe, version = (body["recipe"], "1") if body["recipe"] else ("", "")
        text = canonical_json(body)
        return submission.parse_submission(project, found, text, recipe, version, "key_1", isolated=isolated)

    async def submit(self, **spec: Any) -> sa.Row[Any]:
        job = self.job(**spec)
        return (await self.database.write(lambda conn: submission.submit(conn, job)))[0]

    async def run(self, run_id: str, project: str = PROJECT) -> sa.Row[Any]:
        return await self.database.read(lambda conn: store.get(conn, project, run_id))

    async def claim(self, worker: sa.Row[Any], claim_id: str = "") -> claims.Claimed | None:
        named = claim_id or f"claim-{next(self._numbers)}"
        return await self.database.write(
            lambda conn: claims.claim(
                conn,
                worker_id=worker.id,
                incarnation=worker.incarnation,
                claim_id=named,
                lease_seconds=LEASE_SECONDS,
            )
        )

    async def started(self, worker: sa.Row[Any], **spec: Any) -> sa.Row[Any]:
        """A fresh run, claimed; its attempt."""
        await self.submit(**spec)
        claimed = await self.claim(worker)
        assert claimed is not None
        return claimed.attempt

    async def heartbeat(self, attempt_id: str, progress: float = 0.5) -> str:
        return await self.database.write(lambda conn: claims.heartbeat(conn, attempt_id, progress, LEASE_SECONDS))

    async def finish(self, attempt_id: str, outcome: str, **more: Any) -> sa.Row[Any]:
        state = AttemptState(outcome)
        digest = more.pop("digest", f"{outcome}{more}")
        report = completion.Report(attempt_id, state, digest, **more)
        return await self.database.write(lambda conn: completion.finish(conn, report, [Followers()]))

    async def checkpoint(self, attempt_id: str, step: int, **more: Any) -> sa.Row[Any]:
        files = await self.files(more.pop("content", f"weights {attempt_id} {step}"))
        offsets = more.pop("offsets", {})
        return await self.database.write(
            lambda conn: checkpoints.commit(
                conn, attempt_id, step=step, epoch=0, files=files, metrics_json="{}", offsets=offsets, **more
            )
        )

    async def pass_time(self, seconds: float) -> list[str]:
        """Beats of the leader until its clock has moved by `seconds`; the attempts that were lost."""
        if not self.term:
            self.term = await self.database.write(lambda conn: leadership.take(conn, "test", 0, 0) or 0)
        lost: list[str] = []
        while seconds > 0:
            passed = int(min(seconds, 2) * 1_000_000)
            lost += (await self.database.write(lambda conn, p=passed: sweeper.sweep(conn, self.term, p)))[0]  # type: ignore[misc]
            seconds -= 2
        return lost

    async def refused(self, call: Any) -> LeptonError:
        with pytest.raises(LeptonError) as raised:
            await call
        return raised.value

    async def events(self) -> list[tuple[str, str]]:
        """(type, subject) of all events, in the order written."""
        rows = await self.database.read(
            lambda conn: conn.execute(sa.text("SELECT * FROM events ORDER BY sequence")).all()
        )
        return [(row.type.removeprefix("dev.lepton.").removesuffix(".v1"), row.subject) for row in rows]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Each test runs on both databases."""
    create_tables(database_url)
    opened = open_database(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def scene(database: Database) -> Scene:
    """A dataset `digits` is there, and recipe r@1 is in the catalogue."""
    scene = Scene(database)
    await scene.dataset("one")
    await scene.worker(id="wrk_00000000000000000000000000")
    return scene


class Server:
    """A registry that serves in this process, with its real store, and channels for each kind of caller."""

    def __init__(self, settings: RegistrySettings, tokens: dict[str, str], modules: Sequence[Module] = MODULES) -> None:
        self.settings = settings
        self.modules = modules
        self.tokens = tokens
        self.address = ""
        self._channels = contextlib.AsyncExitStack()
        self._stop = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        await asyncio.to_thread(upgrade, self.settings.database_url)
        self._stop.clear()
        self._serving = asyncio.create_task(serve(self.settings, self._stop, ready.set_result, self.modules))
        await asyncio.wait([ready, self._serving], return_when=asyncio.FIRST_COMPLETED)
        if self._serving.done():
            await self._serving
        self.address = f"127.0.0.1:{ready.result()}"

    async def stop(self) -> None:
        await self._channels.aclose()
        self._stop.set()
        if self._serving is not None:
            await self._serving

    async def restart(self, **changed: Any) -> None:
        await self.stop()
        self.settings = self.settings.model_copy(update=changed)
        await self.start()

    async def channel(self, token: str, acting: Principal | None = None) -> Channel:
        opened = open_channel(self.address, token, acting=lambda: acting)
        self._channels.push_async_callback(opened.close)
        return opened

    async def gateway(self, role: Role = Role.OPERATOR, project: str = "") -> Channel:
        """The gateway, acting for somebody of the operator's project (or another one)."""
        return await self.channel(self.tokens["gateway"], await self.principal(role, project))

    async def principal(self, role: Role = Role.OPERATOR, project: str = "") -> Principal:
        operator = self.tokens["operator"]
        request = projects_pb2.VerifyKeyRequest(id=f"key_{operator.split('_')[1]}", token_sha256=token_sha256(operator))
        service = await self.channel(self.tokens["gateway"])
        key = (await projects_pb2_grpc.KeyServiceStub(service).VerifyKey(request)).key
        return Principal(PrincipalKind.KEY, key.id, project=project or key.project, role=role)

    async def pool(self) -> Channel:
        """A worker, before it has an attempt."""
        return await self.channel(self.tokens["trainer"])


Configured = tuple[RegistrySettings, dict[str, str]]


def make_settings(folder: Path, database_url: str, s3: S3Bucket, **more: Any) -> Configured:
    """Settings with the files that they name, and the tokens of each service and of the operator."""
    tokens = {name: new_service_token(name) for name in ("gateway", "inference", "trainer", "local")}
    hashes = {name: token_sha256(token) for name, token in tokens.items()}
    (folder / "tokens.json").write_text(json.dumps(hashes))
    (folder / "attempts.secret").write_text("5e" * 32)
    tokens["operator"] = new_api_key(new_id("key"))
    (folder / "operator.key").write_text(tokens["operator"])
    store = {name: getattr(s3, name) for name in ("endpoint", "access_key", "secret_key", "bucket", "region")}
    settings = {
        "listen": "127.0.0.1:0",
        "database_url": database_url,
        "object_store": store,
        "service_tokens_file": folder / "tokens.json",
        "attempt_token_secret_file": folder / "attempts.secret",
        "operator_key_file": folder / "operator.key",
        "drain_seconds": 0.2,
        "sweep_seconds": 0.1,
    } | more
    return RegistrySettings.model_validate(settings), tokens


@pytest.fixture
def make_configured(tmp_path: Path, s3: S3Bucket) -> Callable[[str], Configured]:
    """Settings without a queue for a database, and the tokens."""
    return lambda database_url: make_settings(tmp_path, database_url, s3)


@pytest.fixture
def configured(make_configured: Callable[[str], Configured], database_url: str) -> Configured:
    return make_configured(database_url)


@pytest.fixture
async def server(configured: Configured) -> AsyncIterator[Server]:
    """Serving, without a queue."""
    started = Server(*configured)
    await started.start()
    yield started
    await started.stop()
