"""Calls of a worker and its attempts to the registry. Only this file uses protobuf."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lepton_core.api import FileEntry
from lepton_core.errors import Cause
from lepton_core.grpc.client import open_sync_channel
from lepton_core.grpc.conversion import list_to_proto
from lepton_core.grpc.errors import cause_message
from lepton_core.validation import canonical_json
from lepton_proto.v1 import artifacts_pb2, attempts_pb2, logs_pb2, metrics_pb2, recipes_pb2, runs_pb2, workers_pb2
from lepton_proto.v1.attempts_pb2_grpc import AttemptServiceStub
from lepton_proto.v1.logs_pb2_grpc import LogServiceStub
from lepton_proto.v1.metrics_pb2_grpc import MetricServiceStub
from lepton_proto.v1.workers_pb2_grpc import WorkerServiceStub
from lepton_trainer.assignment import Assignment, Resume

# Short: instead of waiting for an answer to one heartbeat, the next one is sent.
HEARTBEAT_TIMEOUT_SECONDS = 5.0


class Directive(StrEnum):
    CONTINUE = "continue"
    CANCEL = "cancel"
    DRAIN = "drain"


class Result(StrEnum):
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    RELEASED = "released"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class AnnouncedRecipe:
    name: str
    version: str
    title: str
    # JSON Schema of the settings, as canonical text.
    schema: str
    schema_digest: str


@dataclass(frozen=True)
class Announcement:
    worker_id: str
    hostname: str
    incarnation: int
    recipes: Sequence[AnnouncedRecipe]
    accepts_scripts: bool
    max_ranks: int
    gpus: int
    isolates_scripts: bool = False


@dataclass(frozen=True)
class Finished:
    """The outcome of an attempt and its results. JSON objects are empty if there is no content.

    `cause`: None for an attempt that succeeded.
    """

    result: Result
    cause: Cause | None = None
    final: bool = False
    metrics: Mapping[str, float] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    statistics: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    package: Sequence[FileEntry] = ()
    code_digest: str = ""
    # What the script left, of an attempt that failed.
    files: Sequence[FileEntry] = ()


@dataclass(frozen=True)
class AppendedMetrics:
    """`committed_offset`: the registry has the journal up to here. Points of further metrics than a run may have were
    dropped: the number of their names, and the first of them."""

    committed_offset: int
    dropped_name_count: int = 0
    dropped_names: Sequence[str] = ()


class PoolRegistry:
    """Calls with the pool's token, which allows only to announce and claim."""

    def __init__(self, address: str, pool_token: str) -> None:
        self._channel = open_sync_channel(address, pool_token)
        self._workers = WorkerServiceStub(self._channel)
        self._attempts = AttemptServiceStub(self._channel)

    def register(self, announcement: Announcement) -> None:
        recipes = [
            recipes_pb2.Recipe(
                name=each.name,
                version=each.version,
                title=each.title,
                schema_json=each.schema,
                schema_digest=each.schema_digest,
            )
            for each in announcement.recipes
        ]
        self._workers.RegisterWorker(
            workers_pb2.RegisterWorkerRequest(
                id=announcement.worker_id,
                hostname=announcement.hostname,
                incarnation=announcement.incarnation,
                recipes=recipes,
                accepts_scripts=announcement.accepts_scripts,
                max_ranks=announcement.max_ranks,
                gpus=announcement.gpus,
                isolates_scripts=announcement.isolates_scripts,
            )
        )

    def claim(self, worker_id: str, incarnation: int, claim_id: str) -> Assignment | None:
        """A repeated claim_id returns the same attempt. None if there is no work."""
        request = attempts_pb2.ClaimRequest(worker_id=worker_id, incarnation=incarnation, claim_id=claim_id)
        found = self._attempts.Claim(request, timeout=10.0).assignment
        return _assignment(found) if found.attempt_id else None

    def close(self) -> None:
        self._channel.close()


class AttemptRegistry:
    """Calls with the token of an attempt, which is valid only for that attempt. Each may raise STALE_ATTEMPT."""

    def __init__(self, address: str, attempt_id: str, attempt_token: str) -> None:
        self.attempt_id = attempt_id
        self.channel = open_sync_channel(address, attempt_token)
        self._attempts = AttemptServiceStub(self.channel)
        self._metrics = MetricServiceStub(self.channel)
        self._logs = LogServiceStub(self.channel)

    def heartbeat(self, progress: float) -> tuple[Directive, float]:
        """Returns the registry's directive, and the lease in seconds."""
        request = attempts_pb2.HeartbeatRequest(attempt_id=self.attempt_id, progress=progress)
        answer = self._attempts.Heartbeat(request, timeout=HEARTBEAT_TIMEOUT_SECONDS)
        return _DIRECTIVES.get(answer.directive, Directive.CONTINUE), float(answer.lease_seconds)

    def append_metrics(self, rank: int, file: str, offset: int, records: bytes) -> AppendedMetrics:
        """Sends records of a metrics journal that begin at `offset`."""
        request = metrics_pb2.AppendMetricsRequest(
            attempt_id=self.attempt_id, rank=rank, file=file, offset=offset, records=records
        )
        answer = self._metrics.AppendMetrics(request)
        return AppendedMetrics(int(answer.committed_offset), answer.dropped_name_count, tuple(answer.dropped_names))

    def append_log(self, stream: str, offset: int, data: bytes) -> tuple[int, bool]:
        """Returns the committed offset of the stream, and whether the registry keeps no more of it."""
        request = logs_pb2.AppendLogRequest(attempt_id=self.attempt_id, stream=stream, offset=offset, data=data)
        answer = self._logs.AppendLog(request)
        return int(answer.committed_offset), bool(answer.full)

    def commit_checkpoint(
        self,
        step: int,
        epoch: int,
        files: Sequence[FileEntry],
        metrics: Mapping[str, float],
        offsets: Mapping[str, int],
        score: float | None = None,
    ) -> None:
        self._attempts.CommitCheckpoint(
            attempts_pb2.CommitCheckpointRequest(
                attempt_id=self.attempt_id,
                step=step,
                epoch=epoch,
                files=list_to_proto(files, artifacts_pb2.FileEntry),
                metrics_json=canonical_json(metrics),
                offsets=[attempts_pb2.FileOffset(file=name, offset=offset) for name, offset in offsets.items()],
                score=score,
            )
        )

    def finish(self, finished: Finished) -> None:
        result = attempts_pb2.AttemptResult(
            metrics_json=canonical_json(finished.metrics),
            evaluation_json=canonical_json(finished.evaluation),
            statistics_json=canonical_json(finished.statistics),
            environment_json=canonical_json(finished.environment),
            package=list_to_proto(finished.package, artifacts_pb2.FileEntry),
            code_digest=finished.code_digest,
        )
        self._attempts.Finish(
            attempts_pb2.FinishRequest(
                attempt_id=self.attempt_id,
                outcome=_OUTCOMES[finished.result],
                reason=finished.cause.message if finished.cause else "",
                final=finished.final,
                result=result,
                cause=cause_message(finished.cause) if finished.cause else None,
                files=list_to_proto(finished.files, artifacts_pb2.FileEntry),
            )
        )


_DIRECTIVES = {
    attempts_pb2.DIRECTIVE_CANCEL: Directive.CANCEL,
    attempts_pb2.DIRECTIVE_DRAIN: Directive.DRAIN,
}
_OUTCOMES = {
    Result.SUCCEEDED: runs_pb2.ATTEMPT_STATE_SUCCEEDED,
    Result.FAILED: runs_pb2.ATTEMPT_STATE_FAILED,
    Result.RELEASED: runs_pb2.ATTEMPT_STATE_RELEASED,
    Result.CANCELLED: runs_pb2.ATTEMPT_STATE_CANCELLED,
}


def _assignment(found: attempts_pb2.Assignment) -> Assignment:
    resume = None
    if found.HasField("resume") and found.resume.manifest_digest:
        point = found.resume
        resume = Resume(point.id, point.manifest_digest, point.step, point.epoch)
    return Assignment(
        run_id=found.run_id,
        attempt_id=found.attempt_id,
        number=found.number,
        project=found.project,
        attempt_token=found.attempt_token,
        spec=found.spec_json,
        recipe=found.recipe,
        recipe_version=found.recipe_version,
        data_digest=found.data_digest,
        code_digest=found.code_digest,
        resume=resume,
        lease_seconds=float(found.lease_seconds),
    )
