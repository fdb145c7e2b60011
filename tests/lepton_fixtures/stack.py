"""Queue, object store, registry, one trainer as real processes, wired as `lepton up` wires them; a gateway if asked."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from lepton_core.api import FileEntry
from lepton_core.grpc.client import SyncChannel, open_sync_channel
from lepton_core.grpc.conversion import list_to_proto
from lepton_core.identity.principals import Principal, PrincipalKind, Role
from lepton_core.jobs.spec import JobSpec, canonical_digest
from lepton_core.objects.folder import scan
from lepton_core.objects.transfer import send
from lepton_fixtures.attempt_trees import processes_marked
from lepton_fixtures.processes import ServerProcess, wait_until
from lepton_local.components import Component, Wiring, build_components, port_hosts
from lepton_local.example import Kind, write_example
from lepton_local.home import Home
from lepton_local.keys import ensure_keys
from lepton_local.ports import choose_ports
from lepton_local.settings import LocalSettings
from lepton_proto.v1 import (
    artifacts_pb2,
    datasets_pb2,
    logs_pb2,
    metrics_pb2,
    models_pb2,
    projects_pb2,
    runs_pb2,
    workers_pb2,
)
from lepton_proto.v1.artifacts_pb2_grpc import ArtifactServiceStub
from lepton_proto.v1.datasets_pb2_grpc import DatasetServiceStub
from lepton_proto.v1.logs_pb2_grpc import LogServiceStub
from lepton_proto.v1.metrics_pb2_grpc import MetricServiceStub
from lepton_proto.v1.models_pb2_grpc import ModelServiceStub
from lepton_proto.v1.projects_pb2_grpc import ProjectServiceStub
from lepton_proto.v1.runs_pb2_grpc import RunServiceStub
from lepton_proto.v1.workers_pb2_grpc import WorkerServiceStub
from lepton_trainer.files.artifacts import ArtifactWire
from lepton_trainer.recipes.catalogue import load_catalogue

ENDED = {runs_pb2.RUN_STATE_SUCCEEDED, runs_pb2.RUN_STATE_FAILED, runs_pb2.RUN_STATE_CANCELLED}
PARTS = ("queue", "objects", "registry", "trainer")


class Stack:
    """`python`: an interpreter for the trainer, where the one of the tests is not for everybody."""

    def __init__(self, folder: Path, settings: Mapping[str, str] | None = None, python: Path | None = None) -> None:
        self.home = Home(folder / "home")
        self.home.create()
        self.home.let_through(others="LEPTON_TRAINER_RUN_AS" in (settings or {}))
        local = LocalSettings()
        ports = choose_ports(port_hosts(local), self.home.ports, any_free=True)
        keys = ensure_keys(self.home)
        wiring = Wiring(home=self.home, ports=ports, keys=keys, settings=local)
        self._components: dict[str, Component] = {component.name: component for component in build_components(wiring)}
        self.ports = ports
        # Read when a component is started for the first time.
        self.settings = dict(settings or {})
        if python is not None:
            self._components["trainer"].command[0] = str(python)
        self.servers: dict[str, ServerProcess] = {}
        self._operator = Principal(PrincipalKind.KEY, "key_test", "", Role.OPERATOR)
        self._token = keys.token_files["gateway"].read_text().strip()
        self._address = wiring.address("registry")
        self._channels: list[SyncChannel] = []

    def start(self, *names: str) -> Stack:
        for name in names or PARTS:
            component = self._components[name]
            if component.ready_file is not None:
                component.ready_file.unlink(missing_ok=True)
            if name in self.servers:
                self.servers[name].start()
                continue
            environment = {**component.environment, **self.settings}
            self.servers[name] = ServerProcess(
                component.command, self.home.logs / f"{name}.log", component.ready, environment
            )
        return self

    def stop(self) -> None:
        for name in ("gateway", *reversed(PARTS)):
            if name in self.servers:
                self.servers[name].stop()
        for channel in self._channels:
            channel.close()

    def log(self, name: str) -> str:
        return (self.home.logs / f"{name}.log").read_text(errors="replace")

    def channel(self) -> SyncChannel:
        """As the gateway, for an operator of the default project."""
        if not self._channels:
            self._channels.append(open_sync_channel(self._address, self._token, acting=lambda: self._operator))
            projects = ProjectServiceStub(self._channels[0]).ListProjects(projects_pb2.ListProjectsRequest()).projects
            operator = Principal(PrincipalKind.KEY, "key_test", projects[0].id, Role.OPERATOR)
            self._channels.append(open_sync_channel(self._address, self._token, acting=lambda: operator))
        return self._channels[1]

    @property
    def runs(self) -> RunServiceStub:
        return RunServiceStub(self.channel())

    def push(self, folder: Path) -> str:
        """Upload a folder; its manifest's digest."""
        files = scan(folder)
        send(files, ArtifactWire(self.channel()))
        entries = [FileEntry(path=file.path, digest=file.digest, bytes=file.bytes) for file in files]
        request = artifacts_pb2.CommitManifestRequest(files=list_to_proto(entries, artifacts_pb2.FileEntry))
        return str(ArtifactServiceStub(self.channel()).CommitManifest(request).manifest_digest)

    def folder(self, manifest_digest: str) -> dict[str, str]:
        """Path and digest of each file of a folder."""
        return {file.path: file.digest for file in ArtifactWire(self.channel()).manifest(manifest_digest)}

    def dataset(self, name: str, folder: Path) -> str:
        request = datasets_pb2.CreateDatasetVersionRequest(name=name, manifest_digest=self.push(folder))
        return str(DatasetServiceStub(self.channel()).CreateDatasetVersion(request).version.id)

    def submit(self, spec: Mapping[str, Any], *, isolated: bool = False) -> str:
        parsed = JobSpec.model_validate(spec)
        version = next((version for name, version in load_catalogue() if name == parsed.recipe), "")
        submission = runs_pb2.Submission(
            spec_json=parsed.model_dump_json(),
            key_namespace="client",
            idempotency_key=uuid.uuid4().hex,
            request_digest=canonical_digest(dict(spec)),
            recipe=parsed.recipe_name,
            recipe_version=version,
            isolated=isolated,
        )
        [outcome] = self.runs.SubmitRuns(runs_pb2.SubmitRunsRequest(submissions=[submission])).outcomes
        assert not outcome.HasField("error"), outcome.error
        return str(outcome.run.id)

    def push_digits(self, folder: Path) -> None:
        write_example(Kind.DIGITS, folder)
        self.dataset("digits", folder / "digits")

    def submit_digits(self, **train: Any) -> str:
        """The handwritten digits, by two ranks."""
        spec = {
            "name": "digits",
            "recipe": "vision.classifier",
            "data": "digits@latest",
            "train": {"epochs": 3, "batch_size": 32, "learning_rate": 2e-3, "seed": 7, **train},
            "resources": {"ranks": 2},
            "register": {"model": "digits"},
        }
        return self.submit(spec)

    def model_version(self, reference: str) -> models_pb2.ModelVersion:
        request = models_pb2.GetModelVersionRequest(reference=reference)
        return ModelServiceStub(self.channel()).GetModelVersion(request).version

    def script(self, folder: Path, program: str, *, isolated: bool = False, **spec: Any) -> str:
        """Submit a script job of one file."""
        folder.mkdir(exist_ok=True)
        (folder / "train.py").write_text(program)
        script = {"entry": "train.py", "code": self.push(folder), "args": spec.pop("args", [])}
        if "requirements" in spec:
            script["requirements"] = spec.pop("requirements")
        return self.submit({"name": "script", "script": script, **spec}, isolated=isolated)

    def run(self, run_id: str) -> runs_pb2.Run:
        return self.runs.GetRun(runs_pb2.GetRunRequest(id=run_id)).run

    def cancel(self, run_id: str) -> None:
        self.runs.CancelRun(runs_pb2.CancelRunRequest(id=run_id))

    def wait(self, run_id: str, seconds: float = 60.0) -> runs_pb2.Run:
        try:
            wait_until(lambda: self.run(run_id).state in ENDED, seconds, f"{run_id} to end")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.run(run_id)}\n{self.log('trainer')[-4000:]}") from None
        return self.run(run_id)

    def attempts(self, run_id: str) -> list[runs_pb2.Attempt]:
        return list(self.runs.ListAttempts(runs_pb2.ListAttemptsRequest(run_id=run_id)).attempts)

    def checkpoints(self, run_id: str) -> list[runs_pb2.Checkpoint]:
        return list(self.runs.ListCheckpoints(runs_pb2.ListCheckpointsRequest(run_id=run_id)).checkpoints)

    def metrics(self, run_id: str) -> list[metrics_pb2.MetricPoint]:
        points: list[metrics_pb2.MetricPoint] = []
        cursor = ""
        stub = MetricServiceStub(self.channel())
        while True:
            page = stub.QueryMetrics(metrics_pb2.QueryMetricsRequest(run_id=run_id, cursor=cursor, limit=1000))
            points += page.points
            if not page.points:
                return points
            cursor = page.next_cursor

    def logs(self, run_id: str, stream: str = "rank-0") -> str:
        request = logs_pb2.ReadLogRequest(run_id=run_id, stream=stream, limit=1000)
        chunks = LogServiceStub(self.channel()).ReadLog(request).chunks
        return b"".join(chunk.data for chunk in chunks).decode()

    def workers(self) -> list[workers_pb2.Worker]:
        return list(WorkerServiceStub(self.channel()).ListWorkers(workers_pb2.ListWorkersRequest()).workers)

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Living processes of attempts, by what they are: supervisor, guard, program."""
        return processes_marked(worker_id=self.worker_id)

    @property
    def worker_id(self) -> str:
        return (self.home.worker / "worker-id").read_text().strip()

    def kill_one(self, role: str, number: int = signal.SIGKILL) -> int:
        """Signal the first process of that role, as soon as there is one; its pid."""
        wait_until(lambda: self.processes().get(role), 30, f"a {role} to run")
        process = self.processes()[role][0]
        process.send_signal(number)
        return int(process.pid)
