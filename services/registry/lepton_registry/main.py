"""Composition root: reads the settings, builds every part of the registry, serves until told to stop."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import redis.asyncio as redis
import sqlalchemy as sa
import uvloop

from lepton_core.errors import LeptonError
from lepton_core.grpc.server import Registration, RpcServer, build_server
from lepton_core.objects.store import ObjectStore
from lepton_core.observability import configure_logging
from lepton_core.queue import build_celery
from lepton_core.settings import load_settings
from lepton_proto.v1 import (
    artifacts_pb2_grpc,
    attempts_pb2_grpc,
    datasets_pb2_grpc,
    deployments_pb2_grpc,
    events_pb2_grpc,
    lineage_pb2_grpc,
    logs_pb2_grpc,
    metrics_pb2_grpc,
    models_pb2_grpc,
    projects_pb2_grpc,
    recipes_pb2_grpc,
    runs_pb2_grpc,
    workers_pb2_grpc,
)
from lepton_registry.artifacts.access_check import Fence
from lepton_registry.artifacts.bucket import take as take_bucket
from lepton_registry.artifacts.collection import Collector
from lepton_registry.artifacts.read_urls import Reading
from lepton_registry.artifacts.servicer import ArtifactServicer
from lepton_registry.artifacts.uploads import Uploads
from lepton_registry.authentication import RegistryAuthenticator, read_service_hashes
from lepton_registry.database.engine import Database, open_database
from lepton_registry.database.leadership import Leadership
from lepton_registry.datasets import store as datasets
from lepton_registry.datasets.servicer import DatasetServicer
from lepton_registry.deployments.servicer import DeploymentServicer
from lepton_registry.deployments.watch import ServingWatch
from lepton_registry.events.feed import Feed
from lepton_registry.events.relay import Relay, Sink
from lepton_registry.events.retention import EventRetention
from lepton_registry.events.servicer import EventServicer
from lepton_registry.events.sinks import Hinter, Stream
from lepton_registry.lineage.servicer import LineageServicer
from lepton_registry.logs.chunks import LogChunks
from lepton_registry.logs.retention import LogRetention
from lepton_registry.logs.servicer import LogServicer
from lepton_registry.metrics.servicer import MetricServicer
from lepton_registry.migrations.upgrade import upgrade
from lepton_registry.models import store as models
from lepton_registry.models.package import PackageInspector
from lepton_registry.models.servicer import ModelServicer
from lepton_registry.projects import store as projects
from lepton_registry.projects.servicer import KeyServicer, ProjectServicer
from lepton_registry.recipes.servicer import RecipeServicer
from lepton_registry.refusal import RefusedToStart
from lepton_registry.runs import attempt_access, checkpoints
from lepton_registry.runs import store as runs
from lepton_registry.runs.servicer import RunServicer
from lepton_registry.scheduling.attempt_servicer import AttemptServicer
from lepton_registry.scheduling.sweeper import Sweeper
from lepton_registry.scheduling.worker_servicer import WorkerServicer
from lepton_registry.settings import RegistrySettings
from lepton_registry.wakeups import Waker

log = logging.getLogger("lepton.registry")

BUCKET_WAIT_SECONDS = 3.0
STORE_THREADS = 32

Task = Callable[[], Awaitable[None]]
Wake = Callable[[], Awaitable[None]]


class Registry:
    """What is built for one process; `tasks` run beside the server, `bucket` is set once the store has its bucket."""

    def __init__(self, server: RpcServer, tasks: Sequence[Task], leadership: Leadership, bucket: asyncio.Event) -> None:
        self.server = server
        self.tasks = tasks
        self.leadership = leadership
        self.bucket = bucket


def build(settings: RegistrySettings, database: Database, clients: contextlib.AsyncExitStack, owner: str) -> Registry:
    """Builds every part; network clients are closed with `clients`. `owner` stands for the database."""
    attempt_secret = settings.attempt_token_secret_file.read_text().strip().encode()
    hashes = read_service_hashes(settings.service_tokens_file)
    objects, bucket = _object_store(settings), asyncio.Event()
    keep = settings.retention
    uploads = Uploads(database, objects, retention=keep)
    leadership = Leadership(
        database, alone=database.dialect == "sqlite", takeover_seconds=settings.leader_takeover_seconds
    )
    wake, sinks = _queue(settings, clients)
    feed = Feed(database)
    collector = Collector(
        database,
        objects,
        [datasets.references, models.references, runs.references, checkpoints.references],
        retention=keep,
        leadership=leadership,
    )
    logs = LogRetention(database, objects, retention=keep, leadership=leadership)
    tasks: list[Task] = [
        feed.run,
        Relay(database, leadership, sinks).run,
        Sweeper(database, leadership, wake, settings.sweep_seconds).run,
        EventRetention(database, leadership, keep).run,
        uploads.run,
        # What has no row is deleted, so the bucket must be known to be ours.
        lambda: _after(bucket, collector.run),
        lambda: _after(bucket, logs.run),
        lambda: _keep_bucket(objects, owner, bucket),
    ]
    server = build_server(
        _servicers(settings, database, objects, uploads, feed, attempt_secret),
        RegistryAuthenticator(database, hashes, attempt_secret),
        max_message_bytes=settings.max_message_bytes,
    )
    return Registry(server, tasks, leadership, bucket)


def _servicers(
    settings: RegistrySettings,
    database: Database,
    objects: ObjectStore,
    uploads: Uploads,
    feed: Feed,
    attempt_secret: bytes,
) -> list[Registration]:
    reading = Reading(database, objects, url_seconds=settings.retention.read_url_seconds)
    inspector = PackageInspector(reading)
    chunks = LogChunks(database, objects, max_bytes_per_run=settings.max_log_bytes_per_run)
    attempts = AttemptServicer(
        database,
        inspector.inspect,
        attempt_secret=attempt_secret,
        lease_seconds=settings.lease_seconds,
        last_checkpoints=settings.retention.last_checkpoints,
    )
    artifacts = ArtifactServicer(database, objects, uploads, reading, Fence(database, attempt_access.folders))
    deployments = DeploymentServicer(database, ServingWatch(database))
    return [
        (projects_pb2_grpc.add_ProjectServiceServicer_to_server, ProjectServicer(database)),
        (projects_pb2_grpc.add_KeyServiceServicer_to_server, KeyServicer(database)),
        (recipes_pb2_grpc.add_RecipeServiceServicer_to_server, RecipeServicer(database)),
        (workers_pb2_grpc.add_WorkerServiceServicer_to_server, WorkerServicer(database)),
        (runs_pb2_grpc.add_RunServiceServicer_to_server, RunServicer(database, feed)),
        (attempts_pb2_grpc.add_AttemptServiceServicer_to_server, attempts),
        (metrics_pb2_grpc.add_MetricServiceServicer_to_server, MetricServicer(database)),
        (logs_pb2_grpc.add_LogServiceServicer_to_server, LogServicer(database, chunks)),
        (events_pb2_grpc.add_EventServiceServicer_to_server, EventServicer(database, feed)),
        (artifacts_pb2_grpc.add_ArtifactServiceServicer_to_server, artifacts),
        (datasets_pb2_grpc.add_DatasetServiceServicer_to_server, DatasetServicer(database)),
        (models_pb2_grpc.add_ModelServiceServicer_to_server, ModelServicer(database, inspector)),
        (deployments_pb2_grpc.add_DeploymentServiceServicer_to_server, deployments),
        (lineage_pb2_grpc.add_LineageServiceServicer_to_server, LineageServicer(database)),
    ]


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


async def _keep_bucket(objects: ObjectStore, owner: str, taken: asyncio.Event) -> None:
    await take_bucket(objects, owner, taken)
    await asyncio.Event().wait()


async def _after(made: asyncio.Event, task: Task) -> None:
    await made.wait()
    await task()


def _queue(settings: RegistrySettings, clients: contextlib.AsyncExitStack) -> tuple[Wake, list[Sink]]:
    """How to wake workers, and where events go besides those who read them by position."""
    if not settings.broker_url:
        return _nobody_to_wake, []

    client = redis.Redis.from_url(settings.broker_url, socket_timeout=5.0, socket_connect_timeout=5.0)
    clients.push_async_callback(client.aclose)
    waker = Waker(build_celery(settings.broker_url), client)
    return waker.wake, [Hinter(waker.wake), Stream(client)]


async def _nobody_to_wake() -> None:
    """Without a queue workers ask by themselves."""


async def serve(settings: RegistrySettings, stop: asyncio.Event, ready: Callable[[int], None]) -> None:
    """Serve until `stop` is set; `ready` is told the port."""
    async with contextlib.AsyncExitStack() as stack:
        # Calls to the store block a thread each: a store that hangs must not use up the few there are by default.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(STORE_THREADS, "objects"))
        database = open_database(settings.database_url)
        stack.push_async_callback(database.close)
        owner = await _bootstrap(settings, database)
        registry = build(settings, database, stack, owner)
        await registry.leadership.try_to_lead()
        tasks = [asyncio.create_task(_forever(task)) for task in registry.tasks]
        # A fresh platform's first upload should find a bucket; a store that is away must not keep the registry down.
        bucket = asyncio.create_task(registry.bucket.wait())
        await asyncio.wait([bucket, *tasks], timeout=BUCKET_WAIT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        bucket.cancel()
        for ended in filter(asyncio.Task.done, tasks):
            ended.result()
        port = registry.server.bind(settings.listen)
        await registry.server.start()
        # What was built so far stays; collections need not look at it again and again.
        gc.freeze()
        ready(port)
        stopped = asyncio.create_task(stop.wait())
        done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
        await registry.server.drain(settings.drain_seconds)
        for task in (stopped, *tasks):
            task.cancel()
        await asyncio.gather(stopped, *tasks, return_exceptions=True)
        await registry.leadership.resign()
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
        # Its own words name host, user and database, and no password.
        sys.exit(f"registry: LEPTON_REGISTRY_DATABASE_URL: cannot use this database: {error.orig}")


if __name__ == "__main__":
    main()
