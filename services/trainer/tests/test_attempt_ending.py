"""What is reported of an attempt whose program left hostile results: always something that the registry accepts."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lepton_core.api import FileEntry
from lepton_core.causes import EndCause
from lepton_core.errors import Cause, ErrorCode, LeptonError, invalid
from lepton_core.grpc.client import open_sync_channel
from lepton_core.jobs.spec import parse_job
from lepton_trainer.attempt import completion
from lepton_trainer.attempt.completion import Ending
from lepton_trainer.files.left_files import KeptFiles
from lepton_trainer.files.untrusted_files import LocalRankFiles
from lepton_trainer.processes.control_channel import Control
from lepton_trainer.processes.guard_clients import Rank
from lepton_trainer.reporting.registry import Finished, Result

SCRIPT = parse_job({"name": "mine", "script": {"entry": "train.py", "code": "sha256:" + "a" * 64}})


class RefusingRegistry:
    """Accepts a report as soon as its cause has no parameters."""

    def __init__(self) -> None:
        self.offered: list[Finished] = []

    def finish(self, finished: Finished) -> None:
        self.offered.append(finished)
        if finished.cause is not None and finished.cause.parameters:
            raise invalid("cause.parameters_json", "refused")


def ending(root: Path, exit_code: int = 0, registry: Any = None) -> Ending:
    known = Rank()
    known.exit_code, known.ended_at = exit_code, 1.0
    placement = SimpleNamespace(files=LocalRankFiles(root), ranks={0: known}, poll=lambda: exit_code, environment=dict)
    config: Any = SimpleNamespace(
        assignment=SimpleNamespace(run_id="run_1", code_digest="sha256:" + "a" * 64),
        policy=SimpleNamespace(max_package_bytes=1000),
    )
    return Ending(config, SCRIPT, registry, placement, Control())  # type: ignore[arg-type]  # what is read of a placement


def collected(root: Path, **documents: Any) -> Finished:
    for name, document in documents.items():
        (root / f"{name}.json").write_text(document if isinstance(document, str) else json.dumps(document))
    return ending(root)._collected(asked_to_leave=False)


def test_final_metrics_that_cannot_be_stored_are_left_out(tmp_path: Path) -> None:
    metrics = {"good": 1, "big": 10**399, "text": "x", "k" * 257: 1, "": 2, "none": None, "flag": True}
    finished = collected(tmp_path, evaluation={"metrics": metrics})
    assert (finished.result, finished.metrics) == (Result.SUCCEEDED, {"good": 1.0, "flag": 1.0})


def test_at_most_a_thousand_final_metrics_are_kept(tmp_path: Path) -> None:
    finished = collected(tmp_path, outcome={"status": "succeeded", "metrics": {f"m{at}": at for at in range(5000)}})
    assert len(finished.metrics) == 1000


def test_a_document_with_a_lone_surrogate_is_the_end_of_the_run(tmp_path: Path) -> None:
    finished = collected(tmp_path, evaluation='{"note": "\\ud800"}')
    assert (finished.result, finished.final) == (Result.FAILED, True)
    assert finished.cause is not None
    assert finished.cause.code == EndCause.RESULT_INVALID


def test_a_fault_while_collecting_is_a_failure_and_no_lost_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OverflowError("secret text")

    monkeypatch.setattr(completion, "judge", broken)
    finished = collected(tmp_path)
    text = "the platform could not collect the result: OverflowError"
    assert (finished.result, finished.final) == (Result.FAILED, False)
    assert finished.cause == Cause(EndCause.WORKER_FAULT, {"part": "result"}, text)


def test_a_refused_failure_is_reported_without_its_parameters(tmp_path: Path) -> None:
    registry = RefusingRegistry()
    assert ending(tmp_path, exit_code=3, registry=registry).offer(asked_to_leave=False) is Result.FAILED
    first, last = registry.offered
    assert first.cause is not None
    assert first.cause.parameters["exit_code"] == 3
    assert last.cause == Cause(EndCause.RANK_EXITED, {}, "rank 0 ended with exit code 3")


class Registry:
    """Refuses reports with files, if asked to."""

    def __init__(self, *, refuses_files: bool = False) -> None:
        self.offered: list[Finished] = []
        # Of an address where nobody listens, and not used.
        self.channel = open_sync_channel("127.0.0.1:1", "token")
        self._refuses_files = refuses_files

    def finish(self, finished: Finished) -> None:
        if self._refuses_files and finished.files:
            raise invalid("files", "refused")
        self.offered.append(finished)


def reported(root: Path, registry: Registry) -> Finished:
    """The accepted report of a script whose evaluation is no JSON."""
    (root / "evaluation.json").write_text("nonsense")
    assert ending(root, registry=registry).offer(asked_to_leave=False) is Result.FAILED
    registry.channel.close()
    [finished] = registry.offered
    assert finished.cause is not None
    assert finished.cause.code == EndCause.RESULT_INVALID
    return finished


def keeping(monkeypatch: pytest.MonkeyPatch, result: KeptFiles | Exception) -> None:
    def keep(*_: object) -> KeptFiles:
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(completion, "keep_left_files", keep)


MODEL = FileEntry(path="code/model.pt", digest="sha256:" + "b" * 64, bytes=3)


def test_a_result_that_cannot_be_used_is_reported_with_what_the_script_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping(monkeypatch, KeptFiles([MODEL], 2))
    finished = reported(tmp_path, Registry())
    assert finished.files == [MODEL]
    assert finished.cause is not None
    assert finished.cause.parameters == {"error": "invalid", "files": 1, "files_left_out": 2}
    hint = "1 kept, 2 left out (`lepton run files run_1 --to FOLDER` fetches them)"
    assert finished.cause.message.endswith(f"; files that the script left: {hint}")


def test_files_that_the_registry_refuses_do_not_change_the_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeping(monkeypatch, KeptFiles([MODEL], 0))
    finished = reported(tmp_path, Registry(refuses_files=True))
    assert finished.files == ()
    assert finished.cause is not None
    assert finished.cause.parameters == {"error": "invalid"}


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (LeptonError(ErrorCode.UNAVAILABLE, "the object store answered 503"), "the object store answered 503"),
        (OverflowError("secret text"), "OverflowError"),
    ],
)
def test_an_upload_that_fails_does_not_change_the_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    keeping(monkeypatch, error)
    finished = reported(tmp_path, Registry())
    assert (finished.result, finished.final, finished.files) == (Result.FAILED, True, ())
    assert finished.cause is not None
    assert finished.cause.message.endswith(f"; its files are not kept: {why}")


def test_a_failure_that_is_refused_again_is_given_up(tmp_path: Path) -> None:
    class Stubborn(RefusingRegistry):
        def finish(self, finished: Finished) -> None:
            self.offered.append(finished)
            raise LeptonError(invalid("x", "refused").code, "refused")

    registry = Stubborn()
    assert ending(tmp_path, exit_code=3, registry=registry).offer(asked_to_leave=False) is None
    assert len(registry.offered) == 2
