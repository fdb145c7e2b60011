"""The disk budget of an attempt: what is counted, and how far a program that writes without pause gets beyond it."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lepton_core.errors import LeptonError
from lepton_trainer.files.disk import FASTEST_BYTES_PER_SECOND, DiskBudget, folder_bytes, pause_seconds

MIB = 1 << 20
WRITER = """
import os, sys
block, number = bytes(1 << 20), 0
while True:
    number += 1
    with open(f"{sys.argv[1]}/{number}", "ab", 0) as file:
        for _ in range(8 if sys.argv[2] == "many" else 1000):
            file.write(block)
"""


def test_disk_budget_and_reserve(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 100_000)
    DiskBudget(tmp_path, 1 << 20, 0).check()
    with pytest.raises(LeptonError, match=r"max_disk_bytes.* is 48\.8 KiB"):
        DiskBudget(tmp_path, 50_000, 0).check()
    with pytest.raises(LeptonError, match="disk full"):
        DiskBudget(tmp_path, 1 << 20, 1 << 60).check()


@pytest.mark.parametrize("mebibytes", [64, 200, 1024, 3 * 1024, 50 * 1024])
def test_a_disk_budget_is_exceeded_by_less_than_a_tenth_at_the_fastest(mebibytes: int) -> None:
    """The program writes without pause; each look comes when the one before said."""
    budget = mebibytes << 20
    used = 0.0
    while used <= budget:
        used += pause_seconds(int(used), budget) * FASTEST_BYTES_PER_SECOND
    assert used < 1.1 * budget


@pytest.mark.parametrize("files", ["one", "many"])
def test_a_program_that_fills_the_disk_is_ended_within_a_tenth_of_its_budget(files: str, tmp_path: Path) -> None:
    # One try may meet a moment in which the machine gives this process no time.
    assert statistics.median(_overshoot(tmp_path / str(number), files, 64 * MIB) for number in range(5)) < 0.1


def _overshoot(folder: Path, files: str, budget: int) -> float:
    folder.mkdir()
    disk = DiskBudget(folder, budget, 0)
    with subprocess.Popen([sys.executable, "-c", WRITER, str(folder), files]) as writer:
        try:
            with pytest.raises(LeptonError, match="max_disk_bytes"):
                _check_when_due(disk)
        finally:
            writer.kill()
    return folder_bytes(folder) / budget - 1


def _check_when_due(disk: DiskBudget) -> None:
    while True:
        time.sleep(disk.check())
