"""The program of a rank of a recipe: `python -m lepton_trainer.rank`. Its input is the workspace's attempt.json."""

import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.validation import parse
from lepton_core.workspace_files import ATTEMPT_FILE_VARIABLE, AttemptFile, Outcome, Workspace, write_file

# Errors that would occur again with the same settings and data.
FINAL_ERRORS = {ErrorCode.INVALID, ErrorCode.FAILED_PRECONDITION, ErrorCode.NOT_FOUND, ErrorCode.UNIMPLEMENTED}

# References to the process group are kept until `os._exit`: otherwise gloo's destructor waits, while it has the GIL,
# for a thread that waits for the GIL (seen with torch 2.13: a rank that never ends after its work).
_kept: list[object] = []


def main() -> NoReturn:
    workspace = Workspace(Path(os.environ[ATTEMPT_FILE_VARIABLE]).absolute().parent)
    code = 1
    try:
        outcome = train(workspace, workspace.read_attempt())
        code = 0
    except LeptonError as error:
        outcome = Outcome(status="failed", reason=str(error), final=error.code in FINAL_ERRORS)
    except Exception as error:  # noqa: BLE001 - any error must be reported as the run's reason
        traceback.print_exc()
        outcome = _unexpected(error)
    if outcome is not None:
        try:
            workspace.write_outcome(outcome)
        except OSError as error:
            print(f"cannot write {workspace.outcome.name}: {error}", file=sys.stderr)  # noqa: T201 - the rank's log
            code = 1
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
        raise LeptonError(ErrorCode.UNAVAILABLE, detail) from error
    return recipe_class(parse(recipe_class.settings_model, attempt.settings, prefix=("train",)))


def _unexpected(error: Exception) -> Outcome | None:
    """The reason; None if the error only shows that another rank has ended, which reports its own reason."""
    from torch.distributed import DistError

    if isinstance(error, DistError) or "Connection closed by peer" in str(error) or "Connection reset" in str(error):
        return None
    return Outcome(status="failed", reason=f"{type(error).__name__}: {error}"[:2000])


if __name__ == "__main__":
    main()
