"""The model package: model.onnx, weights.safetensors, signature.json, card.json."""

import json
import shutil
import sys
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from lepton_core.workspace_files import AttemptFile, Workspace, write_file
from lepton_trainer.training.export import export_onnx
from lepton_trainer.training.recipe import Prepared, Recipe
from lepton_trainer.training.tasks import Evaluation

CARD_FORMAT = 1


def write_package(
    workspace: Workspace,
    attempt: AttemptFile,
    recipe: Recipe[Any],
    model: nn.Module,
    data: Prepared,
    evaluation: Evaluation,
    epoch: int,
) -> None:
    """Writes package/, evaluation.json and statistics.json; the folder gets its name when it is complete.

    `model`: not sharded, from `Trainer.kept_model`. `epoch`: the epoch of the model and its evaluation, from 1.
    """
    folder = workspace.package.with_name(".package.writing")
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    difference = export_onnx(recipe.serving(model, data), data.signature, data.holdout, folder / "model.onnx")
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "weights.safetensors")
    write_file(folder / "signature.json", data.signature.to_json().encode())
    card = _card(attempt, recipe, model, data, evaluation)
    card |= {"epoch": epoch, "onnx_largest_difference": difference}
    write_file(folder / "card.json", _json(card))
    folder.rename(workspace.package)
    write_file(workspace.evaluation, _json(evaluation.document()))
    write_file(workspace.statistics, _json(data.statistics))


def _card(
    attempt: AttemptFile, recipe: Recipe[Any], model: nn.Module, data: Prepared, evaluation: Evaluation
) -> dict[str, Any]:
    assert attempt.recipe is not None
    return {
        "format": CARD_FORMAT,
        "model": attempt.model,
        "run_id": attempt.run_id,
        "recipe": {"name": attempt.recipe.name, "version": attempt.recipe.version},
        "settings": recipe.settings.model_dump(mode="json"),
        "task": data.task.name,
        "data": data.description,
        "metrics": evaluation.metrics,
        "limits": list(data.limits),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "made_with": {"python": sys.version.split()[0], "torch": torch.__version__},
    }


def _json(document: dict[str, Any]) -> bytes:
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False).encode()
