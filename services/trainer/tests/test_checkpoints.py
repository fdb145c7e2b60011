"""Which checkpoints are committed when training is faster than the store."""

from __future__ import annotations

import pytest

from lepton_core.workspace_files import CheckpointRecord
from lepton_trainer.reporting.checkpoints import worth_committing


@pytest.mark.parametrize(
    ("scores", "best_score", "committed"),
    [
        ([], None, []),
        ([None, None, None], None, [3]),
        ([0.1, 0.2, 0.3], None, [3]),
        ([0.1, 0.9, 0.3], None, [2, 3]),
        ([0.1, 0.9, None], None, [2, 3]),
        ([0.1, 0.9, 0.9], None, [2, 3]),
        ([0.1, 0.9, 0.3], 0.9, [3]),
        ([0.1, 0.9, 0.3], 0.8, [2, 3]),
    ],
)
def test_the_newest_and_the_best_so_far(scores: list[float | None], best_score: float | None, committed: list[int]):
    records = [
        CheckpointRecord(step=step, epoch=0, dir=f"checkpoints/{step}", score=score)
        for step, score in enumerate(scores, 1)
    ]
    assert [record.step for record in worth_committing(records, best_score)] == committed
