"""gRPC of attempts, for workers."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import grpc
import sqlalchemy as sa

from lepton_core.api.limits import MAX_LEFT_FILES
from lepton_core.errors import Cause, invalid
from lepton_core.grpc.conversion import enum_from_proto
from lepton_core.identity import Principal, attempt_token, require_attempt
from lepton_core.ids import digest_of
from lepton_proto.v1 import attempts_pb2 as pb
from lepton_proto.v1 import attempts_pb2_grpc as rpc
from lepton_proto.v1 import runs_pb2
from lepton_registry.artifacts.access_check import AccessCheck
from lepton_registry.artifacts.manifest import FileLike
from lepton_registry.database.engine import Database
from lepton_registry.models.aliases import AliasFollowers
from lepton_registry.models.package import Package
from lepton_registry.rows import to_message
from lepton_registry.runs import attempts, checkpoints, completion
from lepton_registry.runs.result_checks import check_cause, check_numbers, check_object, printable
from lepton_registry.runs.states import REPORTED, AttemptState
from lepton_registry.scheduling import claims
from lepton_registry.scheduling.claims import Claimed

Context = grpc.aio.ServicerContext[Any, Any]
_STATE = runs_pb2.AttemptState.DESCRIPTOR


class AttemptServicer(rpc.AttemptServiceServicer):
    def __init__(
        self,
        database: Database,
        inspect: completion.Inspect,
        access: AccessCheck,
        *,
        attempt_secret: bytes,
        lease_seconds: int,
        last_checkpoints: int,
        followers: Sequence[AliasFollowers],
    ) -> None:
        self._database = database
        self._inspect = inspect
        self._access = access
        self._attempt_secret = attempt_secret
        self._lease_seconds = lease_seconds
        self._last_checkpoints = last_checkpoints
        self._followers = followers

    async def Claim(self, request: pb.ClaimRequest, context: Context) -> pb.ClaimResponse:
        claimed = await self._database.write(
            lambda conn: claims.claim(
                conn,
                worker_id=request.worker_id,
                incarnation=request.incarnation,
                claim_id=request.claim_id,
                lease_seconds=self._lease_seconds,
            )
        )
        return pb.ClaimResponse(assignment=self._assignment(claimed) if claimed else None)

    def _assignment(self, claimed: Claimed) -> pb.Assignment:
        resume = to_message(claimed.resume, runs_pb2.Checkpoint) if claimed.resume is not None else None
        return to_message(
            claimed.run,
            pb.Assignment,
            run_id=claimed.run.id,
            attempt_id=claimed.attempt.id,
            number=claimed.attempt.number,
            attempt_token=attempt_token(claimed.attempt.id, self._attempt_secret),
            resume=resume,
            lease_seconds=self._lease_seconds,
        )

    async def Heartbeat(self, request: pb.HeartbeatRequest, context: Context) -> pb.HeartbeatResponse:
        require_attempt(request.attempt_id)
        directive = await self._database.write(
            lambda conn: claims.heartbeat(conn, request.attempt_id, request.progress, self._lease_seconds)
        )
        return pb.HeartbeatResponse(directive=f"DIRECTIVE_{directive.name}", lease_seconds=self._lease_seconds)

    async def CommitCheckpoint(
        self, request: pb.CommitCheckpointRequest, context: Context
    ) -> pb.CommitCheckpointResponse:
        principal = require_attempt(request.attempt_id)
        metrics = check_numbers(request.metrics_json, "metrics")

        def commit(conn: sa.Connection) -> sa.Row[Any]:
            if not checkpoints.is_committed(conn, request.attempt_id, request.step):
                self._access.require_held(conn, principal, [file.digest for file in request.files])
            return checkpoints.commit(
                conn,
                request.attempt_id,
                step=request.step,
                epoch=request.epoch,
                files=request.files,
                metrics_json=metrics,
                offsets={each.file: each.offset for each in request.offsets},
                score=request.score if request.HasField("score") else None,
                keep_last=self._last_checkpoints,
            )

        row = await self._database.write(commit)
        return pb.CommitCheckpointResponse(checkpoint=to_message(row, runs_pb2.Checkpoint))

    async def Finish(self, request: pb.FinishRequest, context: Context) -> pb.FinishResponse:
        principal = require_attempt(request.attempt_id)
        report = await self._report(request, principal)

        def finish(conn: sa.Connection) -> sa.Row[Any]:
            # An attempt that has ended has no files any more; a repeated report succeeds without them.
            if report.files and attempts.is_running(conn, report.attempt_id):
                self._access.require_held(conn, principal, [file.digest for file in report.files])
            return completion.finish(conn, report, self._followers)

        row = await self._database.write(finish)
        return pb.FinishResponse(run=to_message(row, runs_pb2.Run))

    async def _package(self, principal: Principal, files: Sequence[FileLike]) -> Package | None:
        """None for an attempt that has ended: it cannot register a model, and may no longer have its files."""
        if not await self._database.read(lambda conn: attempts.is_running(conn, principal.attempt_id)):
            return None
        await self._access.names(principal, [file.digest for file in files])
        return await self._inspect(principal.project, files)

    async def _report(self, request: pb.FinishRequest, principal: Principal) -> completion.Report:
        outcome = enum_from_proto(request.outcome, _STATE, AttemptState)
        if outcome not in REPORTED:
            raise invalid("outcome", "cannot be reported by a worker", outcome, ", ".join(sorted(REPORTED)))
        result, package = request.result, None
        if outcome is AttemptState.SUCCEEDED and result.package:
            # Reads the files' bytes, so it is done before the transaction, not in it.
            package = await self._package(principal, result.package)
        return completion.Report(
            attempt_id=request.attempt_id,
            outcome=AttemptState(outcome),
            digest=digest_of(request.SerializeToString(deterministic=True)),
            reason=printable(request.reason),
            cause=_cause(request, outcome),
            final=request.final,
            metrics_json=check_numbers(result.metrics_json, "result.metrics"),
            evaluation_json=check_object(result.evaluation_json, "result.evaluation"),
            statistics_json=check_object(result.statistics_json, "result.statistics"),
            environment_json=check_object(result.environment_json, "result.environment"),
            code_digest=result.code_digest,
            package=package,
            files=_left_files(request, outcome),
        )


def _left_files(request: pb.FinishRequest, outcome: StrEnum) -> Sequence[FileLike]:
    if request.files and outcome is not AttemptState.FAILED:
        raise invalid("files", "only an attempt that failed leaves files", outcome, "none, or the outcome failed")
    if len(request.files) > MAX_LEFT_FILES:
        raise invalid("files", "too many", len(request.files), f"at most {MAX_LEFT_FILES}")
    return request.files


def _cause(request: pb.FinishRequest, outcome: StrEnum) -> Cause | None:
    """None from workers of an older release too."""
    if not request.HasField("cause"):
        return None
    if outcome is AttemptState.SUCCEEDED:
        raise invalid("cause", "an attempt that succeeded has none", request.cause.code, "unset")
    return check_cause(request.cause, "cause")
