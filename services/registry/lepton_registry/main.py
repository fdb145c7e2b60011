"""Composition root: reads the settings, builds the parts of the registry, serves until it is stopped."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import redis.asyncio as redis
import sqlalchemy as sa
import uvloop

from lepton_core.errors import LeptonError
from lepton_core.grpc.server import RpcServer, build_server
from lepton_core.identity import POLICIES
from lepton_core.metrics import Metrics
from lepton_core.objects.store import ObjectStore
from lepton_core.observability import configure_logging
from lepton_core.queue import build_celery
from lepton_core.settings import load_settings
from lepton_registry import telemetry
from lepton_registry.artifacts.read_urls import ReadUrls
from lepton_registry.authentication import build_authenticator, read_attempt_secret, read_service_hashes
from lepton_registry.database.engine import Database, open_database
from lepton_registry.database.leadership import Leadership
from lepton_registry.events.feed import Feed
from lepton_registry.events.relay import Sink
from lepton_registry.events.sinks import Stream, WakeupSink
from lepton_registry.migrations.upgrade import upgrade
from lepton_registry.module import Module, Parts, Wake
from lepton_registry.modules import MODULES
from lepton_registry.periodic import Task
from lepton_registry.projects import store as projects
from lepton_registry.refusal import RefusedToStart
from lepton_registry.settings import RegistrySettings
from lepton_registry.wakeups import Waker

log = logging.getLogger("lepton.registry")

BUCKET_WAIT_SECONDS = 3.0
STORE_THREADS = 32


class Registry(NamedTuple):
    """What is built for one process; `tasks` run beside the server."""

    server: RpcServer
    tasks: Sequence[Task]
    parts: Parts


def build(
    settings: RegistrySettings,
    database: Database,
    clients: contextlib.AsyncExitStack,
    owner: str,
    metrics: Metrics,
    modules: Sequence[Module] = MODULES,
) -> Registry:
    """Builds every module. `clients` closes the network clients. `owner` identifies the database."""
    parts = _parts(settings, database, clients, owner, modules)
    built = [module.build(parts) for module in modules]
    server = build_server(
        [servicer for each in built for servicer in each.servicers],
        build_authenticator(
            database, read_service_hashes(settings.service_tokens_file), parts.attempt_secret, parts.attempts
        ),
        max_message_bytes=settings.max_message_bytes,
        observe=metrics.observe,
        policies=POLICIES | {method: policy for module in modules for method, policy in module.policies.items()},
    )
    return Registry(server, [task for each in built for task in each.tasks], parts)


def _parts(
    settings: RegistrySettings,
    database: Database,
    clients: contextlib.AsyncExitStack,
    owner: str,
    modules: Sequence[Module],
) -> Parts:
    objects = _object_store(settings)
    wake, sinks = _queue(settings, clients)
    [attempts] = [module.attempts for module in modules if module.attempts is not None]
    [waiting_reason] = [module.waiting_reason for module in modules if module.waiting_reason is not None]
    return Parts(
        settings=settings,
        database=database,
        objects=objects,
        leadership=Leadership(
            database, alone=database.dialect == "sqlite", takeover_seconds=settings.leader_takeover_seconds
        ),
        feed=Feed(database),
        read_urls=ReadUrls(database, objects, url_seconds=settings.retention.read_url_seconds),
        wake=wake,
        sinks=sinks,
        attempt_secret=read_attempt_secret(settings.attempt_token_secret_file),
        owner=owner,
        bucket_ready=asyncio.Event(),
        keeps_manifest=[keeps for module in modules for keeps in module.keeps_manifest],
        alias_followers=[follower for module in modules for follower in module.alias_followers],
        node_kinds=[kind for module in modules for kind in module.node_kinds],
        node_references=[reference for module in modules for reference in module.node_references],
        attempts=attempts,
        waiting_reason=waiting_reason,
    )


def _object_store(settings: RegistrySettings) -> ObjectStore:
    store = settings.object_store
    return ObjectStore(
        store.endpoint,
        store.access_key.get_secret_value(),
        store.secret_key.get_secret_value(),
        bucket=store.bucket,
        region=store.region,
        public_url=store.public_url,
    )


def _queue(settings: RegistrySettings, clients: contextlib.AsyncExitStack) -> tuple[Wake, list[Sink]]:
    """The function that wakes workers, and the sinks of events."""
    if not settings.broker_url:
        return _nobody_to_wake, []

    client = redis.Redis.from_url(settings.broker_url, socket_timeout=5.0, socket_connect_timeout=5.0)
    clients.push_async_callback(client.aclose)
    waker = Waker(build_celery(settings.broker_url), client)
    return waker.wake, [WakeupSink(waker.wake), Stream(client)]


async def _nobody_to_wake() -> None:
    """Used without a queue: workers ask for work regularly in any case."""


async def serve(
    settings: RegistrySettings,
    stop: asyncio.Event,
    ready: Callable[[int], None],
    modules: Sequence[Module] = MODULES,
) -> None:
    """Serves until `stop` is set; `ready` is called with the port."""
    async with contextlib.AsyncExitStack() as stack:
        # Each call to the store blocks a thread: a store that hangs must not use up the few default threads.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(STORE_THREADS, "objects"))
        database = open_database(settings.database_url)
        stack.push_async_callback(database.close)
        owner = await _bootstrap(settings, database)
        metrics = Metrics()
        metrics.add(telemetry.source(database, asyncio.get_running_loop()))
        stack.enter_context(metrics.serving(settings.metrics_listen))
        registry = build(settings, database, stack, owner, metrics, modules)
        await registry.parts.leadership.try_to_lead()
        tasks = [asyncio.create_task(_forever(task)) for task in registry.tasks]
        # The bucket should exist before the first upload, but the registry must also start without the store.
        bucket = asyncio.create_task(registry.parts.bucket_ready.wait())
        await asyncio.wait([bucket, *tasks], timeout=BUCKET_WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        bucket.cancel()
        for ended in filter(asyncio.Task.done, tasks):
            ended.result()
        port = registry.server.bind(settings.listen)
        await registry.server.start()
        # Objects built so far live as long as the process; garbage collection need not check them.
        gc.freeze()
        ready(port)
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        await registry.server.drain(settings.drain_seconds)
        for task in (stopped, *tasks):
            task.cancel()
        await asyncio.gather(stopped, *tasks, return_exceptions=True)
        await registry.parts.leadership.resign()
        for task in done - {stopped}:
            task.result()


async def _forever(task: Task) -> None:
    await task()
    raise AssertionError(f"{task} has ended")


async def _bootstrap(settings: RegistrySettings, database: Database) -> str:
    """The id of the default project."""
    if settings.operator_key_file is not None:
        token = settings.operator_key_file.read_text().strip()
        await database.write(lambda conn: projects.ensure_operator_key(conn, token))
    return await database.write(projects.ensure_default)


async def run(settings: RegistrySettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(settings, stop, lambda port: log.info("serving at port %d", port))


def main() -> None:
    try:
        settings = load_settings(RegistrySettings, "LEPTON_REGISTRY_", os.environ)
    except LeptonError as error:
        sys.exit(f"registry: {error}")
    configure_logging("registry", settings.log_level)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        upgrade(settings.database_url)
        uvloop.run(run(settings))
    except (LeptonError, RefusedToStart, OSError) as error:
        sys.exit(f"registry: {error}")
    except sa.exc.DBAPIError as error:
        # The driver's text contains host, user and database, but no password.
        sys.exit(f"registry: LEPTON_REGISTRY_DATABASE_URL: cannot use this database: {error.orig}")


if __name__ == "__main__":
    main()
