"""Which words of a run's log are shown, and how a run's standing is told."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from lepton.resources.logs import LogPiece, check_stream, spoken
from lepton.resources.runs import Run as ClientRun
from lepton.resources.runs import RunFailedError, Runs
from lepton.transport.progress import Notice, Standing
from lepton_core.api import Cause, Run, RunState
from lepton_core.errors import ErrorCode, LeptonError


def test_the_launcher_is_heard_only_of_attempts_whose_programs_said_nothing() -> None:
    pieces = [
        LogPiece("att_1", "launcher", "ChildFailedError"),
        LogPiece("att_1", "rank-0", "failed: no image"),
        LogPiece("att_2", "launcher", "no such "),
        LogPiece("att_2", "launcher", "program"),
    ]
    assert "".join(piece.text for piece in spoken(pieces)) == "failed: no imageno such program"


def test_a_stream_that_a_run_lacks_is_named_with_those_it_has() -> None:
    run = Run(id="run_1", state=RunState.RUNNING, spec={"resources": {"ranks": 2}})
    for stream in ("rank-0", "rank-1", "launcher", "all"):
        check_stream(run, stream)
    with pytest.raises(LeptonError, match="no log stream 'rank-2'") as raised:
        check_stream(run, "rank-2")
    assert raised.value.code is ErrorCode.NOT_FOUND
    assert raised.value.fields[0].allowed == "rank-0, rank-1, launcher, all"


@dataclass
class Tried:
    """A run, as far as its standing is told."""

    attempt: int
    step: int
    name: str = "digits"
    state: RunState = RunState.RUNNING
    progress: float = 0.5
    standing: str = "running"
    unschedulable: str = ""

    def resumed_step(self) -> int:
        return self.step


def test_a_run_tells_its_attempt_from_the_second_on() -> None:
    standing = Standing()
    assert standing.of(Tried(1, 0)) == "running"
    assert standing.of(Tried(2, 0)) == "running (attempt 2, from the beginning)"
    assert standing.of(Tried(3, 400)) == "running (attempt 3, from step 400)"


def test_why_a_run_waits_in_vain_is_told_once_for_each_reason() -> None:
    notice, run = Notice(), Tried(0, 0)
    assert notice.of(run) == ""
    run.unschedulable = "no worker can take it now: none is\x1b up"
    assert notice.of(run) == "digits waits: no worker can take it now: none is\N{REPLACEMENT CHARACTER} up"
    assert notice.of(run) == ""
    run.unschedulable = ""
    assert notice.of(run) == ""
    run.unschedulable = "no worker can take it now: none is up"
    assert notice.of(run).endswith("none is up")


@pytest.mark.parametrize(
    ("state", "waits", "cancel", "standing", "unschedulable"),
    [
        ("queued", Cause(code="no_worker", message="no worker is up"), False, "queued", "no worker is up"),
        ("queued", Cause(code="queued", message="place 2 in the queue"), False, "queued, place 2 in the queue", ""),
        ("queued", None, False, "queued", ""),
        ("queued", Cause(code="not_known_yet", message="a new reason"), False, "queued", "a new reason"),
        ("running", None, True, "running, being cancelled", ""),
        ("cancelled", None, True, "cancelled", ""),
    ],
)
def test_how_a_run_stands(
    state: RunState, waits: Cause | None, cancel: bool, standing: str, unschedulable: str
) -> None:
    resource = Run(id="run_1", state=state, waiting_reason=waits, cancel_requested=cancel)
    run = ClientRun(Runs.__new__(Runs), resource)
    assert (run.standing, run.unschedulable, run.untaken) == (standing, unschedulable, unschedulable)
    assert ("no reason given" in str(RunFailedError(run))) is (state != "cancelled")
