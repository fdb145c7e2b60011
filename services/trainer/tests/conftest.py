"""Workspaces made by hand, and ranks started in them as the worker would: no service is needed to train."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from lepton_core.journal import read_records
from lepton_core.workspace_files import ATTEMPT_FILE_VARIABLE, Outcome, Workspace, write_file
from lepton_fixtures.workspaces import read_outcome
from lepton_trainer.recipes.catalogue import load_catalogue

RANK_SECONDS = 90
# Ranks without guards; SIGTERM reaches each of them, and the exit code is the first that is not 0.
START = """
import os, signal, subprocess, sys
from lepton_trainer.placement.local import rank_environment, rendezvous_environment
count, meeting = int(sys.argv[1]), rendezvous_environment()
ranks = [
    subprocess.Popen(
        [sys.executable, "-m", "lepton_trainer.rank"], env=os.environ | meeting | rank_environment(rank, count, "test")
    )
    for rank in range(count)
]
signal.signal(signal.SIGTERM, lambda *_: [rank.terminate() for rank in ranks])
sys.exit(next((code for code in [rank.wait() for rank in ranks] if code), 0))
"""


@dataclass(frozen=True)
class Bench:
    """Makes workspaces below one folder and runs ranks in them."""

    root: Path

    def workspace(
        self,
        name: str,
        data: Path,
        settings: dict[str, Any],
        recipe: str = "vision.classifier",
        entry: str = "",
        **more: Any,
    ) -> Workspace:
        """`entry`: another class of the recipe, as "module:Class"."""
        known = next(each for each in load_catalogue().values() if each.name == recipe)
        workspace = Workspace(self.root / name)
        attempt = {
            "run_id": "run_1",
            "attempt_id": f"att_{name}",
            "recipe": {"name": known.name, "version": known.version, "entry": entry or known.entry},
            "settings": settings,
            "data_dir": str(data),
            "model": "model",
            "limits": {"threads_per_rank": 1},
            **more,
        }
        write_file(workspace.attempt_file, json.dumps(attempt).encode())
        return workspace

    def start(self, workspace: Workspace, ranks: int) -> subprocess.Popen[str]:
        environment = {**os.environ, ATTEMPT_FILE_VARIABLE: str(workspace.attempt_file)}
        return subprocess.Popen(
            [sys.executable, "-c", START, str(ranks)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, workspace: Workspace, ranks: int) -> Outcome:
        process = self.start(workspace, ranks)
        log, _ = process.communicate(timeout=RANK_SECONDS)
        outcome = read_outcome(workspace)
        assert outcome is not None, log
        assert (process.returncode == 0) == (outcome.status != "failed"), log
        return outcome


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-learn's handwritten digits, all of them, as a folder for each class."""
    return write_digits(tmp_path_factory.mktemp("digits"), 1797)


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_digits(tmp_path_factory.mktemp("few-digits"), 400)


def write_digits(folder: Path, count: int) -> Path:
    data = load_digits()
    for number, (image, label) in enumerate(zip(data.images[:count], data.target[:count], strict=True)):
        (folder / str(label)).mkdir(exist_ok=True)
        pixels = np.rint(image * 255 / 16).astype(np.uint8)
        Image.fromarray(pixels).save(folder / str(label) / f"{number:04d}.png")
    return folder


def metric_points(workspace: Workspace, key: str) -> dict[int, float]:
    """step → value of one metric, in the journal of rank 0."""
    records, _ = read_records(workspace.metrics_journal(0))
    return {record["s"]: record["k"][key] for record in records if key in record["k"]}


def control_records(workspace: Workspace, kind: str) -> list[dict[str, Any]]:
    records, _ = read_records(workspace.control_journal(0))
    return [record for record in records if record["kind"] == kind]


@pytest.fixture(scope="session")
def points() -> Any:
    return metric_points


@pytest.fixture(scope="session")
def controls() -> Any:
    return control_records
