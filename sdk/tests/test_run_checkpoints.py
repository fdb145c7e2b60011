"""Which checkpoint of a run is fetched."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton.cli.app import run_command
from lepton.resources.checkpoints import best_checkpoint, find_checkpoint
from lepton_core.api import Checkpoint
from lepton_core.errors import ErrorCode, LeptonError

RUN = "run_01JDPX0000AAAAAAAAAAAAAAAA"


def kept(*scores: tuple[int, float | None]) -> list[Checkpoint]:
    """In the order they were made, from (step, score)."""
    return [Checkpoint(id=f"ckpt_{at}", step=step, score=score) for at, (step, score) in enumerate(scores)]


@pytest.mark.parametrize(
    ("which", "id"), [("best", "ckpt_1"), ("last", "ckpt_3"), ("20", "ckpt_1"), (20, "ckpt_1"), (30, "ckpt_3")]
)
def test_a_checkpoint_is_named_by_its_step_or_as_the_best_or_the_last(which: int | str, id: str) -> None:
    found = kept((10, -2.0), (20, -0.5), (30, -0.5), (30, None))
    assert find_checkpoint(RUN, found, which).id == id


def test_the_first_of_equal_scores_is_the_best_and_none_without_scores() -> None:
    best = best_checkpoint(kept((1, 0.5), (2, 0.5)))
    assert best is not None
    assert best.step == 1
    assert best_checkpoint(kept((1, None))) is None


@pytest.mark.parametrize(
    ("found", "which", "allowed"),
    [
        (kept(), "last", "none"),
        (kept((1, None)), "best", "last, or a step"),
        (kept((4, None), (2, None)), 3, "2, 4"),
        (kept((4, None)), -4, "4"),
    ],
)
def test_what_a_run_does_not_keep_is_not_found(found: list[Checkpoint], which: int | str, allowed: str) -> None:
    with pytest.raises(LeptonError) as raised:
        find_checkpoint(RUN, found, which)
    error = raised.value
    assert (error.code, error.fields[0].value, error.fields[0].allowed) == (ErrorCode.NOT_FOUND, str(which), allowed)


@pytest.mark.parametrize("which", ["", "Best", "1.5", "-1", "٣", "1" * 5000, True])
def test_another_word_is_refused_with_what_is_allowed(which: int | str) -> None:
    with pytest.raises(LeptonError) as raised:
        find_checkpoint(RUN, kept((1, None)), which)
    assert (raised.value.code, raised.value.fields[0].allowed) == (ErrorCode.INVALID, "a step, best or last")


def test_a_folder_without_a_checkpoint_to_fetch_is_refused(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["run", "checkpoints", "last", "--to", str(tmp_path)]) == 2
    assert "--get" in capsys.readouterr().err
