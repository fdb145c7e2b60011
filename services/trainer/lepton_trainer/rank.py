"""The program of a rank of a recipe: `python -m lepton_trainer.rank`. Its input is the workspace's attempt.json."""

import errno
import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from lepton_core.causes import EndCause
from lepton_core.errors import Cause, ErrorCode, LeptonError
from lepton_core.validation import parse
from lepton_core.workspace_files import (
    ATTEMPT_FILE_VARIABLE,
    EXIT_NOT_REPORTED,
    EXIT_REPORTED,
    IN_BACKWARD,
    AttemptFile,
    Outcome,
    Workspace,
    write_file,
)
from lepton_trainer.end_causes import end_cause

# Errors that would occur again with the same settings and data.
FINAL_ERRORS = {ErrorCode.INVALID, ErrorCode.FAILED_PRECONDITION, ErrorCode.NOT_FOUND, ErrorCode.UNIMPLEMENTED}

MAX_REASON_CHARS = 3000

# References to the process group are kept until `os._exit`: otherwise gloo's destructor waits, while it has the GIL,
# for a thread that waits for the GIL (seen with torch 2.13: a rank that never ends after its work).
_kept: list[object] = []


def main() -> NoReturn:
    workspace = Workspace(Path(os.environ[ATTEMPT_FILE_VARIABLE]).absolute().parent)
    code = 0
    try:
        outcome = train(workspace, workspace.read_attempt())
    except Exception as error:  # noqa: BLE001 - any error must be reported as the run's reason
        if not isinstance(error, LeptonError):
            traceback.print_exc()
        outcome = failure(error, int(os.environ.get("RANK", "0")))
        code = EXIT_REPORTED
    if outcome is not None:
        try:
            workspace.write_outcome(outcome)
        except OSError as error:
            print(f"cannot write {workspace.outcome.name}: {error}", file=sys.stderr)  # noqa: T201 - the rank's log
            code = EXIT_NOT_REPORTED
        if outcome.status == "failed":
            print(f"failed: {outcome.reason}", file=sys.stderr)  # noqa: T201 - the rank's log
    # Interpreters with torch loaded sometimes abort while they shut down, after all work is done (seen: 3 of 130).
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def train(workspace: Workspace, attempt: AttemptFile) -> Outcome | None:
    """The outcome, if this rank reports it."""
    from lepton_trainer.training.package import write_package
    from lepton_trainer.training.process_group import join
    from lepton_trainer.training.trainer import Released, Trainer

    recipe = load_recipe(attempt)
    group = join(attempt.limits.threads_per_rank)
    if group.first:
        write_file(workspace.environment, json.dumps(group.describe()).encode())
    data = recipe.prepare(workspace.folder(attempt.data_dir)).to(group.device)
    if group.first:
        for note in data.notes:
            print(note, flush=True)  # noqa: T201 - the rank's log
    trainer = Trainer(recipe, data, group, workspace)
    _kept.append(trainer)
    try:
        evaluation = trainer.run(attempt.resume)
    except Released as released:
        group.leave()
        return Outcome(status="released", reason=str(released)) if group.first else None
    group.leave()
    if not group.first:
        return None
    write_package(workspace, attempt, recipe, trainer.kept_model(), data, evaluation, trainer.kept_epoch)
    return Outcome(status="succeeded", metrics=evaluation.metrics)


def load_recipe(attempt: AttemptFile) -> Any:
    """The recipe of attempt.json, with its settings checked again."""
    if attempt.recipe is None:
        raise LeptonError(ErrorCode.INVALID, "attempt.json has no recipe")
    module_name, _, class_name = attempt.recipe.entry.partition(":")
    try:
        recipe_class = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        detail = f"recipe {attempt.recipe.name} {attempt.recipe.version} cannot be loaded on this worker: {error}"
        cause = Cause(EndCause.RECIPE_UNAVAILABLE, {"recipe": attempt.recipe.name, "version": attempt.recipe.version})
        raise LeptonError(ErrorCode.UNAVAILABLE, detail, cause=cause) from error
    return recipe_class(parse(recipe_class.settings_model, attempt.settings, prefix=("train",)))


def failure(error: Exception, rank: int) -> Outcome:
    """What the rank reports of an error that ended it."""
    if isinstance(error, LeptonError):
        final = error.code in FINAL_ERRORS
        cause = end_cause(error, EndCause.BAD_DATA if final else EndCause.PROGRAM_FAILED)
        return _outcome(cause, rank, final=final)
    from lepton_trainer.training.process_group import PeerLost

    if isinstance(error, PeerLost):
        parameters: dict[str, Any] = {"exception": type(error.error).__name__}
        if error.in_backward:
            parameters[IN_BACKWARD] = True
        return _outcome(Cause(EndCause.PEER_LOST, parameters, str(error)), rank)
    name = type(error).__name__
    return _outcome(Cause(_code(error), {"exception": name}, f"{name}: {error}"), rank)


def _code(error: Exception) -> EndCause:
    from torch import OutOfMemoryError
    from torch.distributed import DistError

    if isinstance(error, DistError):
        return EndCause.PEER_LOST
    if isinstance(error, MemoryError | OutOfMemoryError):
        return EndCause.OUT_OF_MEMORY
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return EndCause.DISK_FULL
    return EndCause.PROGRAM_FAILED


def _outcome(cause: Cause, rank: int, *, final: bool = False) -> Outcome:
    return Outcome(
        status="failed",
        reason=cause.message[:MAX_REASON_CHARS],
        final=final,
        rank=rank,
        code=cause.code,
        parameters=dict(cause.parameters),
    )


if __name__ == "__main__":
    main()
