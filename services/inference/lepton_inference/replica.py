"""A serving replica: repository, data plane and both transports."""

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial

from lepton_core.errors import LeptonError
from lepton_core.grpc.server import RpcServer, build_server
from lepton_core.http.server import HttpServer
from lepton_core.identity import Authenticator
from lepton_core.metrics import Metrics
from lepton_inference.cache import Fetch, FileCache
from lepton_inference.dataplane import Dataplane
from lepton_inference.grpc.servicer import InferenceServicer
from lepton_inference.http.app import build_http_app
from lepton_inference.http.infer import InferMiddleware
from lepton_inference.package import Limits, ServedModel, load_model
from lepton_inference.passed_trials import PassedTrials
from lepton_inference.predictions import PredictionLog
from lepton_inference.repository import Load, LoadLimits, Report, Repository
from lepton_inference.revisions import Revision
from lepton_inference.settings import InferenceSettings
from lepton_inference.snapshot import read_snapshot
from lepton_inference.telemetry import samples
from lepton_inference.trial import TrialLimits, Trials
from lepton_inference.warm_up import WarmUpLimits
from lepton_proto.inference.open_inference_pb2_grpc import add_GRPCInferenceServiceServicer_to_server

log = logging.getLogger(__name__)

# Number of threads for batches that do not run on the event loop; each runtime has further threads of its own.
MODEL_THREADS = 4


class Replica:
    """Built on the running event loop. `serving` starts and drains it; `repository.apply` sets what it serves."""

    def __init__(self, settings: InferenceSettings, authenticator: Authenticator, fetch: Fetch, report: Report) -> None:
        self._settings = settings
        self.executor = ThreadPoolExecutor(MODEL_THREADS, thread_name_prefix="model")
        limits = Limits(
            queue_capacity=settings.queue_capacity,
            queue_bytes=settings.queue_bytes,
            max_batch_rows=settings.max_batch_rows,
            inline_seconds=settings.inline_milliseconds / 1000,
        )
        self._inline_run = limits.inline_run
        warm_up = WarmUpLimits(
            settings.max_batch_rows,
            settings.inline_milliseconds / 1000,
            settings.model_threads,
            settings.max_body_bytes,
        )
        self._snapshot = settings.cache_dir / "snapshot"
        self.repository = Repository(
            FileCache(settings.cache_dir, fetch),
            self._loader(limits, warm_up),
            report,
            self._snapshot,
            LoadLimits(settings.max_model_bytes, settings.loads_at_once, settings.loads_per_project),
        )
        self._predictions = PredictionLog(
            settings.cache_dir, sample=settings.prediction_sample, max_bytes=settings.prediction_log_bytes
        )
        self._metrics = Metrics()
        self._metrics.add(partial(samples, self.repository))
        dataplane = Dataplane(self.repository, self._predictions)
        app = build_http_app(dataplane, authenticator, max_body_bytes=settings.max_body_bytes, metrics=self._metrics)
        entry = InferMiddleware(
            app,
            dataplane,
            authenticator,
            max_body_bytes=settings.max_body_bytes,
            observe=self._metrics.observe,
        )
        self.http = HttpServer(entry, settings.http_listen, drain_seconds=settings.drain_seconds)
        self.rpc: RpcServer = build_server(
            [(add_GRPCInferenceServiceServicer_to_server, InferenceServicer(dataplane))],
            authenticator,
            max_message_bytes=settings.max_body_bytes,
            observe=self._metrics.observe,
        )
        self.grpc_port = self.rpc.bind(settings.grpc_listen)

    def _loader(self, limits: Limits, warm_up: WarmUpLimits) -> Load:
        """Loads the files of a revision, after their trial unless they have passed one before."""
        settings = self._settings
        trial = TrialLimits(settings.load_seconds, settings.load_memory_bytes)
        self._trials = Trials(trial, warm_up)
        passed = PassedTrials(settings.cache_dir / "passed-trials.json", asdict(trial) | asdict(warm_up))

        async def load(revision: Revision, files: dict[str, bytes]) -> ServedModel:
            # This process only runs graphs that have passed the trial in a child process, now or before a restart.
            digests = {file.path: file.digest for file in revision.files if file.path in files}
            plan = await asyncio.to_thread(passed.take, digests)
            if plan is None:
                plan = await self._trials.run(files)
            else:
                log.info("revision %s: no trial, since its package passed one before", revision.id)
            model = await asyncio.to_thread(load_model, revision, files, plan, limits, self.executor)
            await asyncio.to_thread(passed.add, digests, plan)
            return model

        return load

    def resume(self) -> None:
        """Serves the revisions of the last snapshot, until the registry answers."""
        try:
            targets = read_snapshot(self._snapshot)
        except LeptonError as error:
            log.warning("%s; it is left aside", error.detail)
            return
        if targets:
            self.repository.apply(targets)

    def blame_for_stuck_loop(self) -> str:
        """Records which revision blocks the event loop, so that it is set aside in time. Returns text for the log."""
        revision_id = self._inline_run.revision_id
        if not revision_id:
            return "no model was running on it"
        is_set_aside = self.repository.set_aside.loop_stopped(revision_id)
        return f"revision {revision_id} was running on it" + (", and is set aside now" if is_set_aside else "")

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Health checks answer NOT_SERVING until every deployment that was known at the start has been tried."""
        await self.rpc.start()
        await self.rpc.set_serving(False)
        tasks = [asyncio.create_task(self._predictions.run()), asyncio.create_task(self._announce())]
        try:
            with self._metrics.serving(self._settings.metrics_listen):
                async with self.http.running():
                    yield
                    await self.rpc.drain(self._settings.drain_seconds)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.repository.close()
            await self._trials.close()
            self.executor.shutdown(wait=False, cancel_futures=True)

    async def _announce(self) -> None:
        await self.repository.settled()
        await self.rpc.set_serving(True)
