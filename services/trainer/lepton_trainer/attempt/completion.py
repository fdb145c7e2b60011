"""The end of an attempt: finds how it ended, collects its results, and sends them until they are accepted or
refused."""

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from pydantic import ValidationError

from lepton_core.api import FileEntry
from lepton_core.api.limits import MAX_METRIC_KEY_CHARS, MAX_METRICS_PER_RECORD, MAX_PACKAGE_FILES
from lepton_core.causes import EndCause
from lepton_core.errors import Cause, ErrorCode, LeptonError
from lepton_core.jobs.spec import JobSpec
from lepton_core.workspace_files import LAUNCHER_LOG, Outcome, rank_log
from lepton_trainer.assignment import AttemptConfig
from lepton_trainer.attempt.failure_diagnosis import RankEnd, TreeEnd, Verdict, judge
from lepton_trainer.attempt.lease import CANCELLED
from lepton_trainer.end_causes import end_cause
from lepton_trainer.files.artifacts import ArtifactWire
from lepton_trainer.files.left_files import KeptFiles, keep_left_files
from lepton_trainer.files.rank_files import FolderLimits, read_json_object, read_tail, refused
from lepton_trainer.files.transfers import Transfers
from lepton_trainer.placement.port import Placement
from lepton_trainer.processes.control_channel import Control, Stop
from lepton_trainer.recipes.source import source_digest
from lepton_trainer.reporting.registry import AttemptRegistry, Finished, Result
from lepton_trainer.retrying import REFUSALS, AbandonedError, retry

_log = logging.getLogger(__name__)
TAIL_BYTES = 4096
# Ends after the script has done its work, which would be lost otherwise.
_KEEPING_FILES = frozenset({EndCause.MODEL_NOT_LOGGED, EndCause.RESULT_INVALID, EndCause.RESULT_REFUSED})


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

    @cached_property
    def _transfers(self) -> Transfers:
        return Transfers(ArtifactWire(self._registry.channel), self._control)

    def offer(self, *, asked_to_leave: bool) -> Result | None:
        """The result that the registry accepted; None if it refused all. Raises AbandonedError if the attempt is
        lost."""
        offers = [self._collected(asked_to_leave)]
        while offers:
            finished = offers.pop(0)
            if self._control.stopped_by(Stop.CANCELLED):
                finished, offers = Finished(Result.CANCELLED, CANCELLED), []
            try:
                self._report(finished)
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
                elif finished.cause is not None and finished.cause.parameters:
                    # Without an accepted report the attempt would count as lost, and the run be tried again.
                    offers = [replace(finished, cause=replace(finished.cause, parameters={}))]
        return None

    def _collected(self, asked_to_leave: bool) -> Finished:
        try:
            return self._finished(self._judge(asked_to_leave))
        except AbandonedError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a program left: the run gets an end, and the log the trace
            # A fault in reading what the programs left. If it ended this process, the attempt would count as lost.
            _log.exception("the result cannot be collected")
            text = f"the platform could not collect the result: {type(error).__name__}"
            return Finished(Result.FAILED, Cause(EndCause.WORKER_FAULT, {"part": "result"}, text))

    def _report(self, finished: Finished) -> None:
        """Reports an end. One without a usable result keeps the script's files, if the registry accepts them."""
        script, cause, kept = self._spec.script, finished.cause, finished
        if script is not None and cause is not None and cause.code in _KEEPING_FILES:
            kept = self._with_files(finished, cause, self._config.assignment.code_digest or script.code)
        try:
            self._finish(kept)
        except LeptonError as error:
            if not kept.files or error.code in REFUSALS:
                raise
            _log.warning("the registry refuses the files that the script left: %s", error)
            self._finish(finished)

    def _finish(self, finished: Finished) -> None:
        retry(partial(self._registry.finish, finished), self._control, "finishing")

    def _with_files(self, finished: Finished, cause: Cause, code_digest: str) -> Finished:
        """The same end, with the files that the script left, and in its cause how to get them."""
        try:
            kept = keep_left_files(self._files, self._transfers, code_digest, self._config.policy.max_package_bytes)
        except AbandonedError:
            raise
        except Exception as error:  # noqa: BLE001 - the failure is reported, whatever the script left
            _log.warning("the files that the script left are not kept", exc_info=error)
            why = str(error) if isinstance(error, LeptonError) else type(error).__name__
            return replace(finished, cause=replace(cause, message=f"{cause.message}; its files are not kept: {why}"))
        if not kept.files and not kept.left_out:
            return finished
        about = _about_files(kept, self._config.assignment.run_id)
        _log.info("%s", about)
        numbers = {"files": len(kept.files), "files_left_out": kept.left_out}
        with_files = Cause(cause.code, {**cause.parameters, **numbers}, f"{cause.message}; {about}")
        return replace(finished, cause=with_files, files=kept.files)

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
            return Finished(verdict.result, verdict.cause, verdict.final, environment=self._placement.environment())
        try:
            evaluation = self._document("evaluation.json")
            return Finished(
                Result.SUCCEEDED,
                metrics=_final_metrics(verdict.metrics or evaluation.get("metrics")),
                evaluation=evaluation,
                statistics=self._document("statistics.json"),
                environment={**self._placement.environment(), **self._document("environment.json")},
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
        return self._transfers.upload(self._files, "package", files)

    def _code_digest(self) -> str:
        return self._config.assignment.code_digest or source_digest(self._config.recipe_entry)


def _unusable(error: LeptonError, otherwise: EndCause, why: str) -> Finished:
    cause = end_cause(error, otherwise)
    return Finished(Result.FAILED, replace(cause, message=f"{why}: {error}"), final=True)


def _about_files(kept: KeptFiles, run_id: str) -> str:
    left_out = f", {kept.left_out} left out" if kept.left_out else ""
    fetch = f" (`lepton run files {run_id} --to FOLDER` fetches them)" if kept.files else ""
    return f"files that the script left: {len(kept.files)} kept{left_out}{fetch}"


def _no_model(spec: JobSpec, model: str) -> LeptonError:
    if spec.script is None:
        return refused("package", f"empty, so there is no model {model!r} to register")
    detail = (
        f"the script {spec.script.entry} ended without a call of lepton.log_model(...), so there is no model {model!r} "
        "to register; call it in rank 0, or remove `register` from the job file; the run keeps its checkpoints"
    )
    cause = Cause(EndCause.MODEL_NOT_LOGGED, {"model": model})
    return LeptonError(ErrorCode.FAILED_PRECONDITION, detail, cause=cause)


def _final_metrics(metrics: object) -> dict[str, float]:
    """What can be stored of the final metrics. A script, which writes no outcome, has those of its model."""
    if not isinstance(metrics, Mapping):
        return {}
    numbers = {name: _number(value) for name, value in metrics.items() if 0 < len(name) <= MAX_METRIC_KEY_CHARS}
    found = {name: number for name, number in numbers.items() if number is not None}
    kept = dict(list(found.items())[:MAX_METRICS_PER_RECORD])
    if len(kept) < len(metrics):
        _log.warning("%d final metrics are left out: no numbers, too many, or too long names", len(metrics) - len(kept))
    return kept


def _number(value: object) -> float | None:
    if not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 308 digits
        return None
    return number if math.isfinite(number) else None
