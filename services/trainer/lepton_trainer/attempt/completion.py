"""The end of an attempt: finds how it ended, collects its results, and sends them until they are accepted or
refused."""

import logging
from functools import partial
from typing import Any

from pydantic import ValidationError

from lepton_core.api import FileEntry
from lepton_core.api.limits import MAX_PACKAGE_FILES
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.jobs.spec import JobSpec
from lepton_core.workspace_files import LAUNCHER_LOG, Outcome, rank_log
from lepton_trainer.assignment import AttemptConfig
from lepton_trainer.attempt.failure_diagnosis import RankEnd, TreeEnd, Verdict, judge
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
                finished, offers = Finished(Result.CANCELLED, "cancelled"), []
            try:
                retry(partial(self._registry.finish, finished), self._control, "finishing")
                return finished.result
            except LeptonError as error:
                _log.warning("the registry refuses the outcome %s: %s", finished.result, error)
                if error.code in REFUSALS:
                    return None
                if finished.result is Result.SUCCEEDED:
                    offers = [Finished(Result.FAILED, f"the registry refused the result: {error}", final=True)]
                    # The reason may be a cancel in the meantime.
                    if error.code is ErrorCode.FAILED_PRECONDITION:
                        offers.insert(0, Finished(Result.CANCELLED, "cancelled"))
        return None

    def _judge(self, asked_to_leave: bool) -> Verdict:
        try:
            outcome = self._outcome()
        except LeptonError as error:
            return Verdict(Result.FAILED, error.detail, final=True)
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
        failed = None
        first = self._placement.first_failed
        if first is not None:
            tail = read_tail(self._files, rank_log(first), TAIL_BYTES).decode(errors="replace")
            failed = RankEnd(first, ranks[first].exit_code, ranks[first].problem, tail)
        return TreeEnd(
            complete=not asked_to_leave and all(known.exit_code == 0 for known in ranks.values()),
            failed=failed,
            launcher=self._placement.poll(),
            launcher_tail=read_tail(self._files, LAUNCHER_LOG, TAIL_BYTES).decode(errors="replace"),
        )

    def _finished(self, verdict: Verdict) -> Finished:
        if verdict.result is not Result.SUCCEEDED:
            return Finished(verdict.result, verdict.reason, verdict.final, environment=describe_environment())
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
            return Finished(Result.FAILED, f"the run's result cannot be used: {error}", final=True)

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


def _no_model(spec: JobSpec, model: str) -> LeptonError:
    if spec.script is None:
        return refused("package", f"empty, so there is no model {model!r} to register")
    detail = (
        f"the script {spec.script.entry} ended without a call of lepton.log_model(...), so there is no model {model!r} "
        "to register; call it in rank 0, or remove `register` from the job file; the run keeps its checkpoints"
    )
    return LeptonError(ErrorCode.FAILED_PRECONDITION, detail)


def _numbers(metrics: object) -> dict[str, float]:
    """The final metrics of a script, which writes no outcome: those of its model."""
    if not isinstance(metrics, dict):
        return {}
    return {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}
