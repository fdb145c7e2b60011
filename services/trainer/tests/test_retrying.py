"""Which errors of the registry and the store an attempt waits out, and which end it."""

import pytest

from lepton_core.backoff import Backoff
from lepton_core.errors import ErrorCode, LeptonError
from lepton_trainer import retrying
from lepton_trainer.processes.control_channel import Control, Stop
from lepton_trainer.retrying import INTERNAL_ERROR_TRIES, AbandonedError, retry


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "BACKOFF", Backoff(first_seconds=0.001, longest_seconds=0.001))


class Call:
    """Raises `code` in the first `failures` calls."""

    def __init__(self, code: ErrorCode, failures: int) -> None:
        self.code = code
        self.failures = failures
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.calls <= self.failures:
            raise LeptonError(self.code, "failed")
        return "done"


@pytest.mark.parametrize(("code", "failures"), [(ErrorCode.UNAVAILABLE, 40), (ErrorCode.INTERNAL, 11)])
def test_an_outage_is_waited_out(code: ErrorCode, failures: int) -> None:
    assert retry(Call(code, failures), Control(), "shipping") == "done"


@pytest.mark.parametrize(("code", "calls"), [(ErrorCode.INVALID, 1), (ErrorCode.INTERNAL, INTERNAL_ERROR_TRIES)])
def test_what_another_try_cannot_help_is_raised(code: ErrorCode, calls: int) -> None:
    call = Call(code, 1000)
    with pytest.raises(LeptonError, match="failed"):
        retry(call, Control(), "shipping")
    assert call.calls == calls


def test_an_outage_that_may_last_only_some_time_is_raised() -> None:
    call = Call(ErrorCode.UNAVAILABLE, 1000)
    with pytest.raises(LeptonError, match="failed"):
        retry(call, Control(), "uploading", seconds=0.0)
    assert call.calls == 1


def test_a_stale_attempt_is_abandoned() -> None:
    control = Control()
    with pytest.raises(AbandonedError):
        retry(Call(ErrorCode.STALE_ATTEMPT, 1), control, "shipping")
    assert control.stopped_by(Stop.STALE)


def test_a_wait_ends_when_the_attempt_is_abandoned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "BACKOFF", Backoff(first_seconds=60, longest_seconds=60))
    control = Control()

    def fail() -> None:
        control.abandoned.set()
        raise LeptonError(ErrorCode.UNAVAILABLE, "failed")

    with pytest.raises(AbandonedError):
        retry(fail, control, "shipping")
