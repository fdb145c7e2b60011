"""Composition root of the gateway: reads settings, builds the parts, serves HTTP, gRPC and queues until stopped."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import uvloop
from redis.asyncio import Redis

from lepton_core.errors import LeptonError
from lepton_core.grpc.client import open_channel
from lepton_core.grpc.server import RpcServer, build_server
from lepton_core.http.server import HttpServer
from lepton_core.identity import TokenAuthenticator
from lepton_core.ids import new_id
from lepton_core.metrics import Metrics
from lepton_core.observability import configure_logging
from lepton_core.settings import load_settings
from lepton_gateway.catalogue import Catalogue
from lepton_gateway.grpc.jobs import JobServicer
from lepton_gateway.http.app import build_http_app
from lepton_gateway.intake.messages import MessageSubmitter
from lepton_gateway.intake.stream import StreamIntake
from lepton_gateway.intake.task import TaskIntake
from lepton_gateway.projects import ProjectNames
from lepton_gateway.registry import Registry
from lepton_gateway.settings import GatewaySettings
from lepton_gateway.submit import Submitter
from lepton_proto.v1 import jobs_pb2_grpc

log = logging.getLogger(__name__)

INFERENCE_TIMEOUT_SECONDS = 60.0


class Gateway:
    """The parts of a gateway. `run` serves until `stop` is set."""

    def __init__(self, settings: GatewaySettings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._metrics = Metrics()
        token = settings.service_token_file.read_text(encoding="utf-8").strip()
        self._channel = open_channel(settings.registry_address, token)
        self._registry = Registry(self._channel)
        self._authenticator = TokenAuthenticator(
            verify_key=self._registry.verify_key, key_cache_seconds=settings.key_cache_seconds
        )
        self._submitter = Submitter(self._registry, Catalogue(self._registry), beyond_loopback=settings.beyond_loopback)

    async def run(self, stop: asyncio.Event) -> None:
        self._stack.push_async_callback(self._channel.close)
        inference = await self._stack.enter_async_context(
            httpx.AsyncClient(base_url=self._settings.inference_url, timeout=INFERENCE_TIMEOUT_SECONDS, trust_env=False)
        )
        # Part URLs are signed and may be on another host: no credential of the gateway may be sent with them.
        store = await self._stack.enter_async_context(
            httpx.AsyncClient(timeout=INFERENCE_TIMEOUT_SECONDS, trust_env=False)
        )
        self._stack.enter_context(self._metrics.serving(self._settings.metrics_listen))
        rpc = await self._start_grpc()
        async with self._http_server(inference, store).running(), self._intake():
            # Objects built so far live as long as the process, and collecting them blocks the loop for 60 to 90 ms.
            gc.freeze()
            log.info("gateway: HTTP %s, gRPC %s", self._settings.http_listen, self._settings.grpc_listen)
            await stop.wait()
            log.info("gateway: draining")
        await rpc.drain(self._settings.drain_seconds)

    async def _start_grpc(self) -> RpcServer:
        servicer = JobServicer(self._registry, self._submitter)
        server = build_server(
            [(jobs_pb2_grpc.add_JobServiceServicer_to_server, servicer)],
            self._authenticator,
            max_message_bytes=self._settings.max_body_bytes,
            observe=self._metrics.observe,
        )
        server.bind(self._settings.grpc_listen)
        await server.start()
        return server

    def _http_server(self, inference: httpx.AsyncClient, store: httpx.AsyncClient) -> HttpServer:
        app = build_http_app(
            self._registry,
            self._submitter,
            self._authenticator,
            inference,
            store,
            max_body_bytes=self._settings.max_body_bytes,
            max_archive_bytes=self._settings.max_archive_bytes,
            metrics=self._metrics,
        )
        return HttpServer(app, self._settings.http_listen, drain_seconds=self._settings.drain_seconds)

    @asynccontextmanager
    async def _intake(self) -> AsyncIterator[None]:
        """Queue intake: one reader for each stream and one for each Celery queue."""
        if not self._settings.broker_url:
            yield
            return
        redis = Redis.from_url(self._settings.broker_url)
        readers: list[Coroutine[None, None, None]] = []
        projects = ProjectNames(self._registry)
        for binding in self._settings.intake:
            submitter = MessageSubmitter(self._submitter, projects, binding)
            if binding.stream:
                readers.append(StreamIntake(redis, submitter, binding, consumer=new_id("ing")).run())
            if binding.celery_queue:
                readers.append(TaskIntake(redis, submitter, binding, consumer=new_id("ing")).run())
        tasks = [asyncio.create_task(reader) for reader in readers]
        for task in tasks:
            task.add_done_callback(_ended)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await redis.aclose()


def _ended(task: asyncio.Task[None]) -> None:
    """Ends the gateway when a reader fails: it must not go on without queue intake."""
    if not task.cancelled() and task.exception() is not None:
        log.critical("gateway: intake ended", exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)


async def serve(settings: GatewaySettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        await Gateway(settings, stack).run(stop)


def main() -> int:
    try:
        settings = load_settings(GatewaySettings, "LEPTON_GATEWAY", os.environ)
        configure_logging("gateway", settings.log_level)
        uvloop.run(serve(settings))
    except LeptonError as error:
        sys.stderr.write(f"gateway: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
