"""What a rank reports of the error that ended it."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.workspace_files import IN_BACKWARD
from lepton_fixtures.processes import wait_until
from lepton_fixtures.workspaces import read_outcome
from lepton_trainer.rank import failure, load_recipe
from lepton_trainer.training.process_group import PeerLost, ProcessGroup
from lepton_trainer.training.trainer import NotFinite


@pytest.mark.parametrize(
    ("error", "code", "final", "parameters"),
    [
        (NotFinite("loss", float("nan"), 7, 1), "not_finite", True, {"what": "loss", "value": "nan", "step": 7}),
        (invalid("train.epochs", "too many"), "bad_data", True, {"error": "invalid"}),
        (LeptonError(ErrorCode.UNAVAILABLE, "later"), "program_failed", False, {"error": "unavailable"}),
        (ValueError("a bug"), "program_failed", False, {"exception": "ValueError"}),
        (MemoryError("no more"), "out_of_memory", False, {"exception": "MemoryError"}),
        (torch.OutOfMemoryError("no more"), "out_of_memory", False, {"exception": "OutOfMemoryError"}),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full", False, {"exception": "OSError"}),
        (torch.distributed.DistBackendError("nccl"), "peer_lost", False, {"exception": "DistBackendError"}),
        (PeerLost(RuntimeError("closed")), "peer_lost", False, {"exception": "RuntimeError"}),
        (PeerLost(RuntimeError("closed"), in_backward=True), "peer_lost", False, {IN_BACKWARD: True}),
    ],
)
def test_each_error_has_its_code_and_parameters(
    error: Exception, code: str, final: bool, parameters: dict[str, Any]
) -> None:
    outcome = failure(error, 1)
    assert (outcome.status, outcome.code, outcome.rank, outcome.final) == ("failed", code, 1, final)
    assert parameters.items() <= outcome.parameters.items()
    assert str(error) in outcome.reason


def test_only_the_exchange_with_other_ranks_can_lose_a_peer() -> None:
    together = ProcessGroup(0, 2, 0, torch.device("cpu"), "gloo", 1)
    alone = ProcessGroup(0, 1, 0, torch.device("cpu"), "", 1)
    for group, raised in ((together, PeerLost), (alone, RuntimeError)):
        with pytest.raises(raised, match="closed"), group.exchange():
            raise RuntimeError("closed")
    with pytest.raises(torch.OutOfMemoryError), together.exchange():
        raise torch.OutOfMemoryError("no more")


def test_a_recipe_that_cannot_be_loaded_is_named(bench: Any, few_digits: Path) -> None:
    recipe = {"name": "gone", "version": "2", "entry": "no_such_module:Recipe"}
    attempt = bench.workspace("gone", few_digits, {}, recipe="vision.classifier").read_attempt()
    with pytest.raises(LeptonError) as raised:
        load_recipe(attempt.model_copy(update={"recipe": type(attempt.recipe)(**recipe)}))
    outcome = failure(raised.value, 0)
    assert (outcome.code, outcome.parameters) == ("recipe_unavailable", {"recipe": "gone", "version": "2"})


@pytest.mark.timeout(300)
def test_a_rank_whose_peer_is_killed_reports_that_it_lost_it(bench: Any, few_digits: Path, points: Any) -> None:
    workspace = bench.workspace("killed", few_digits, {"epochs": 500, "batch_size": 16, "seed": 7}, ranks=2)
    process = bench.start(workspace, 2)
    wait_until(lambda: workspace.metrics_journal(0).exists() and points(workspace, "loss"), 90, "the first losses")
    [first] = [
        each.pid for each in psutil.Process(process.pid).children(recursive=True) if each.environ().get("RANK") == "0"
    ]
    os.kill(first, signal.SIGKILL)
    log, _ = process.communicate(timeout=90)
    outcome = read_outcome(workspace)
    assert outcome is not None, log
    assert (outcome.code, outcome.rank, outcome.parameters["exception"]) == ("peer_lost", 1, "RuntimeError"), log
