"""Pauses between tries: how long, how often, until when."""

from __future__ import annotations

import pytest

from lepton_core.backoff import Backoff, Retrying
from lepton_core.errors import ErrorCode, LeptonError

DOWN = LeptonError(ErrorCode.UNAVAILABLE, "down")


def test_a_pause_doubles_with_jitter_up_to_a_bound() -> None:
    backoff = Backoff(0.2, 5.0)
    assert 0.1 <= backoff.pause(1) <= 0.2
    assert 0.2 <= backoff.pause(2) <= 0.4
    assert 2.5 <= backoff.pause(5000) <= 5.0
    assert len({backoff.pause(3) for _ in range(20)}) > 1


@pytest.mark.parametrize(("asked", "least", "most"), [(0.0, 0.1, 0.2), (7.0, 7.0, 7.0), (9e9, 60.0, 60.0)])
def test_a_server_may_ask_for_a_longer_pause_and_not_for_a_shorter_one(asked: float, least: float, most: float) -> None:
    busy = LeptonError(ErrorCode.RATE_LIMITED, "busy", retry_after_seconds=asked)
    assert least <= Backoff().pause(1, busy) <= most
    assert least <= Retrying(Backoff()).pause_after(busy, retryable=True) <= most


def test_tries_end_after_so_many_failures_or_seconds() -> None:
    twice = Retrying(Backoff(), failures=2)
    twice.pause_after(DOWN)
    twice.pause_after(DOWN)
    for over in (twice, Retrying(Backoff(), seconds=0.01), Retrying(Backoff(), seconds=0)):
        with pytest.raises(LeptonError, match="down"):
            over.pause_after(DOWN)


def test_what_another_try_cannot_help_is_raised_at_once() -> None:
    wrong = LeptonError(ErrorCode.INVALID, "wrong")
    with pytest.raises(LeptonError, match="wrong"):
        Retrying(Backoff()).pause_after(wrong)
    assert Retrying(Backoff()).pause_after(wrong, retryable=True) > 0
    with pytest.raises(LeptonError, match="down"):
        Retrying(Backoff()).pause_after(DOWN, retryable=False)
