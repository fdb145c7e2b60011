"""One replica and everything around it that is not the inference service: a store, keys, what the registry says."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.grpc.client import Channel, nobody, open_channel
from lepton_core.identity import Principal, PrincipalKind, Role, TokenAuthenticator, new_api_key
from lepton_core.ids import digest_of, new_id
from lepton_inference.replica import Replica
from lepton_inference.revisions import PackageFile, Revision, Target, TargetState
from lepton_inference.settings import InferenceSettings
from services.inference.tests.packages import Package, make_revision


class Fleet:
    """One replica, a store of packages for it, and its callers: a key of project `prj_a`, one of `prj_b`."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self.store: dict[str, bytes] = {}
        self.reports: list[tuple[str, str]] = []
        self.keys: dict[str, Principal] = {}
        self.key = self.make_key("prj_a")
        self.foreign_key = self.make_key("prj_b")
        self.replica: Replica
        self.http: httpx.AsyncClient
        self.rpc: Channel
        self._stack = stack
        self._targets: dict[tuple[str, str], Target] = {}

    def make_key(self, project: str) -> str:
        id_ = new_id("key")
        self.keys[id_] = Principal(PrincipalKind.KEY, id_, project=project, role=Role.VIEWER)
        return new_api_key(id_)

    async def start(self, **settings: Any) -> "Fleet":
        chosen = InferenceSettings(
            http_listen="127.0.0.1:0",
            grpc_listen="127.0.0.1:0",
            registry_address="127.0.0.1:1",
            service_token_file=self.folder / "token",
            cache_dir=self.folder / "cache",
            **settings,
        )
        authenticator = TokenAuthenticator(verify_key=self._verify)
        self.replica = Replica(chosen, authenticator, self._fetch, self._report)
        await self._stack.enter_async_context(self.replica.serving())
        headers = {"authorization": f"Bearer {self.key}"}
        url = f"http://127.0.0.1:{self.replica.http.port}"
        self.http = await self._stack.enter_async_context(httpx.AsyncClient(base_url=url, headers=headers))
        self.rpc = self.channel(self.key)
        return self

    def channel(self, key: str) -> Channel:
        channel = open_channel(f"127.0.0.1:{self.replica.grpc_port}", key, acting=nobody)
        self._stack.push_async_callback(channel.close)
        return channel

    def target(self, desired: Revision | None, last_good: Revision | None = None, **more: Any) -> None:
        """What the registry would say of one deployment, among all the others."""
        one = desired or last_good
        assert one
        found = Target(one.project, one.deployment, desired, last_good, more.get("state", TargetState.PENDING))
        self._targets[found.key] = found
        self.replica.repository.apply(list(self._targets.values()))

    async def deploy(self, package: Package, name: str = "double", version: int = 1) -> Revision:
        """Stores, targets, and waits until the replica has tried it."""
        revision = self.put(package, name, version)
        self.target(revision)
        await self.replica.repository.settled()
        return revision

    def put(self, package: Package, name: str = "double", version: int = 1) -> Revision:
        revision = make_revision(package, name, version)
        self.store |= {digest_of(data): data for data in package.values()}
        return revision

    async def _verify(self, key_id: str, _token_sha256: str) -> Principal:
        if key_id not in self.keys:
            raise LeptonError(ErrorCode.UNAUTHENTICATED, "no such key")
        return self.keys[key_id]

    async def _fetch(self, _project: str, file: PackageFile, target: Path) -> None:
        if file.digest not in self.store:
            raise LeptonError(ErrorCode.UNAVAILABLE, "the object store cannot be reached")
        await asyncio.to_thread(target.write_bytes, self.store[file.digest])

    async def _report(self, revision: Revision, reason: str) -> None:
        self.reports.append((revision.id, reason))


async def until(condition: Callable[[], object], what: str, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        await asyncio.sleep(0.01)
