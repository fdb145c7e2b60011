"""The end of an attempt: finds how it ended, collects its results, and sends them until they are accepted or
refused."""

import logging
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import ValidationError

from lepton_core.api import FileEntry
from lepton_core.api.limits import MAX_PACKAGE_FILES
from lepton_core.causes import EndCause
from lepton_core.errors import Cause, ErrorCode, LeptonError
from lepton_core.jobs.spec import JobSpec
from lepton_core.workspace_files import LAUNCHER_LOG, Outcome, rank_log
from lepton_trainer.assignment import AttemptConfig
from lepton_trainer.attempt.failure_diagnosis import RankEnd, TreeEnd, Verdict, judge
from lepton_trainer.attempt.lease import CANCELLED
from lepton_trainer.end_causes import end_cause
from lepton_trainer.files.artifacts import ArtifactWire
from lepton_trainer.files.rank_files import FolderLimits, read_json_object, read_tail, refused
from lepton_trainer.files.transfers import Transfers
from lepton_trainer.placement.port import Placement
from lepton_trainer.processes.control_channel import Control, Stop
from lepton_trainer.reporting.hardware import describe_environment, source_digest
from lepton_trainer.reporting.registry import AttemptRegistry, Finished, Result
from lepton_trainer.retrying import REFUSALS, retry

_log = logging.getLogger(__name__)
# A limit, since each file is open while it is sent.
TAIL_BYTES = 4096


class Ending:
    def __init__(
        self,
        config: AttemptConfig,
        spec: JobSpec,
        registry: AttemptRegistry,
        placement: Placement,
        control: Control,
    ) -> None:
        self._config = config
        self._spec = spec
        self._registry = registry
        self._placement = placement
        self._control = control
        self._files = placement.files

    def offer(self, *, asked_to_leave: bool) -> Result | None:
        """The result that the registry accepted; None if it refused all. Raises AbandonedError if the attempt is
        lost."""
        offers = [self._finished(self._judge(asked_to_leave))]
        while offers:
            finished = offers.pop(0)
            if self._control.stopped_by(Stop.CANCELLED):
                finished, offers = Finished(Result.CANCELLED, CANCELLED), []
            try:
                retry(partial(self._registry.finish, finished), self._control, "finishing")
                return finished.result
            except LeptonError as error:
                _log.warning("the registry refuses the outcome %s: %s", finished.result, error)
                if error.code in REFUSALS:
                    return None
                if finished.result is Result.SUCCEEDED:
                    offers = [_unusable(error, EndCause.RESULT_REFUSED, "the registry refused the result")]
                    # The reason may be a cancel in the meantime.
                    if error.code is ErrorCode.FAILED_PRECONDITION:
                        offers.insert(0, Finished(Result.CANCELLED, CANCELLED))
        return None

    def _judge(self, asked_to_leave: bool) -> Verdict:
        try:
            outcome = self._outcome()
        except LeptonError as error:
            return Verdict(Result.FAILED, end_cause(error, EndCause.RESULT_INVALID), final=True)
        return judge(self._control.stop, outcome, self._tree(asked_to_leave), script=self._spec.script is not None)

    def _outcome(self) -> Outcome | None:
        document = read_json_object(self._files, "outcome.json")
        if document is None:
            return None
        try:
            return Outcome.model_validate(document)
        except ValidationError as error:
            raise refused("outcome.json", f"not an outcome: {error.errors()[0]['msg']}") from None

    def _tree(self, asked_to_leave: bool) -> TreeEnd:
        ranks = self._placement.ranks
        failed = [
            RankEnd(rank, known.exit_code, known.ended_at, known.problem, self._tail(rank_log(rank)))
            for rank, known in ranks.items()
            if known.ended_at is not None and known.exit_code != 0
        ]
        return TreeEnd(
            complete=not asked_to_leave and all(known.exit_code == 0 for known in ranks.values()),
            ranks=len(ranks),
            failed=sorted(failed, key=lambda end: end.ended_at),
            launcher=self._placement.poll(),
            launcher_tail=self._tail(LAUNCHER_LOG),
        )

    def _tail(self, log: str) -> str:
        return read_tail(self._files, log, TAIL_BYTES).decode(errors="replace")

    def _finished(self, verdict: Verdict) -> Finished:
        if verdict.result is not Result.SUCCEEDED:
            return Finished(verdict.result, verdict.cause, verdict.final, environment=describe_environment())
        try:
            evaluation = self._document("evaluation.json")
            return Finished(
                Result.SUCCEEDED,
                metrics=dict(verdict.metrics) or _numbers(evaluation.get("metrics")),
                evaluation=evaluation,
                statistics=self._document("statistics.json"),
                environment={**describe_environment(), **self._document("environment.json")},
                package=self._package(),
                code_digest=self._code_digest(),
            )
        except LeptonError as error:
            # Final, since the program would write the same invalid files again.
            return _unusable(error, EndCause.RESULT_INVALID, "the run's result cannot be used")

    def _document(self, name: str) -> dict[str, Any]:
        return read_json_object(self._files, name) or {}

    def _package(self) -> list[FileEntry]:
        if self._spec.register is None:
            return []
        limits = FolderLimits(files=MAX_PACKAGE_FILES, bytes=self._config.policy.max_package_bytes)
        files = self._files.list("package", limits)
        if not files:
            raise _no_model(self._spec, self._spec.register.model)
        transfers = Transfers(ArtifactWire(self._registry.channel), self._control)
        return transfers.upload(self._files, "package", files)

    def _code_digest(self) -> str:
        return self._config.assignment.code_digest or source_digest(self._config.recipe_entry)


def _unusable(error: LeptonError, otherwise: EndCause, why: str) -> Finished:
    cause = end_cause(error, otherwise)
    return Finished(Result.FAILED, replace(cause, message=f"{why}: {error}"), final=True)


def _no_model(spec: JobSpec, model: str) -> LeptonError:
    if spec.script is None:
        return refused("package", f"empty, so there is no model {model!r} to register")
    detail = (
        f"the script {spec.script.entry} ended without a call of lepton.log_model(...), so there is no model {model!r} "
        "to register; call it in rank 0, or remove `register` from the job file; the run keeps its checkpoints"
    )
    cause = Cause(EndCause.MODEL_NOT_LOGGED, {"model": model})
    return LeptonError(ErrorCode.FAILED_PRECONDITION, detail, cause=cause)


def _numbers(metrics: object) -> dict[str, float]:
    """The final metrics of a script, which writes no outcome: those of its model."""
    if not isinstance(metrics, dict):
        return {}
    return {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}
