"""The gateway's HTTP door in this process, before a registry in this process: real servicers, database and store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from lepton_core.grpc.client import Channel, open_channel
from lepton_core.identity import TokenAuthenticator
from lepton_core.metrics import Metrics
from lepton_fixtures.registry_calls import push_dataset, register_worker
from lepton_fixtures.servers import S3Bucket
from lepton_gateway.catalogue import Catalogue
from lepton_gateway.http.app import build_http_app
from lepton_gateway.registry import Registry
from lepton_gateway.submit import Submitter
from services.registry.tests.conftest import Server, make_settings

MAX_BYTES = 32 * 1024 * 1024


@dataclass
class Door:
    """`http` presents the operator's key; `as_gateway` and `as_worker` speak to the registry directly."""

    app: FastAPI
    http: httpx.AsyncClient
    server: Server
    as_gateway: Channel
    as_worker: Channel

    async def submit(self, key: str = "k", **spec: object) -> httpx.Response:
        body = {"name": "job", "recipe": "r", "data": "digits", "train": {}} | spec
        return await self.http.post("/v1/jobs", json=body, headers={"idempotency-key": key})


@pytest.fixture
async def door(tmp_path: Path, sqlite_url: str, s3: S3Bucket) -> AsyncIterator[Door]:
    """A dataset `digits` is there, and a worker that can run recipe r@1."""
    server = Server(*make_settings(tmp_path, sqlite_url, s3))
    await server.start()
    channel = open_channel(server.address, server.tokens["gateway"])
    registry = Registry(channel)
    submitter = Submitter(registry, Catalogue(registry), beyond_loopback=False)
    authenticator = TokenAuthenticator(verify_key=registry.verify_key)
    async with httpx.AsyncClient() as nothing_behind:
        app = build_http_app(
            registry,
            submitter,
            authenticator,
            nothing_behind,
            nothing_behind,
            max_body_bytes=MAX_BYTES,
            max_archive_bytes=MAX_BYTES,
            metrics=Metrics(),
        )
        headers = {"authorization": f"Bearer {server.tokens['operator']}"}
        as_gateway, as_worker = await server.gateway(), await server.pool()
        await push_dataset(as_gateway)
        await register_worker(as_worker)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=headers) as http:
            yield Door(app, http, server, as_gateway, as_worker)
    await channel.close()
    await server.stop()
