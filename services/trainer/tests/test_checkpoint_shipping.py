"""A checkpoint waits for the journals before it, also if the attempt ends meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from lepton_core.errors import LeptonError
from lepton_core.workspace_files import CheckpointRecord
from lepton_trainer.files.untrusted_files import LocalRankFiles
from lepton_trainer.processes.control_channel import Control
from lepton_trainer.reporting.checkpoints import CheckpointShipper
from lepton_trainer.reporting.progress import ControlFollower

RECORD = CheckpointRecord(step=5, epoch=0, dir="checkpoints/step-00000005", offsets={"metrics-rank0.jsonl": 100})


class Journals:
    """Not shipped when first asked; `after` once `asked` is set."""

    def __init__(self, after: int) -> None:
        self.asked = threading.Event()
        self._after = after
        self._committed: Mapping[str, int] = {}

    @property
    def committed(self) -> Mapping[str, int]:
        found = self._committed
        self._committed = {"metrics-rank0.jsonl": self._after}
        self.asked.set()
        return found


def wait_shipped(folder: Path, shipped_bytes: int) -> None:
    """The attempt ends, with the journals shipped up to there, while the checkpoint waits for them."""
    files, journals = LocalRankFiles(folder), Journals(shipped_bytes)
    registry: Any = SimpleNamespace(channel=grpc.insecure_channel("127.0.0.1:1"))  # not used
    follower = ControlFollower(files)
    shipper = CheckpointShipper(registry, files, 1000, follower, journals, Control())  # type: ignore[arg-type]  # only `committed` is read
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(shipper._wait_shipped, RECORD)
        assert journals.asked.wait(10)
        shipper.finish()
        waiting.result(10)


def test_a_checkpoint_whose_journals_are_shipped_as_the_attempt_ends_is_kept(tmp_path: Path) -> None:
    wait_shipped(tmp_path, 100)


def test_a_checkpoint_that_names_more_than_was_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LeptonError, match="shorter"):
        wait_shipped(tmp_path, 99)
