"""What a program does at a signal may need what its main thread holds at that moment."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from lepton_core.signals import act_on


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    before = signal.getsignal(signal.SIGUSR1)
    yield
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_may_arrive_while_the_main_thread_holds_the_lock_that_its_handler_needs() -> None:
    lock, acted = threading.Lock(), threading.Semaphore(0)

    def act() -> None:
        assert lock.acquire(timeout=10)
        lock.release()
        acted.release()

    act_on([signal.SIGUSR1], act)
    with lock:
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert not acted.acquire(timeout=0.1)
    assert acted.acquire(timeout=10)


def test_the_earlier_handler_is_given_back() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    assert act_on([signal.SIGUSR1], lambda: None) == {signal.SIGUSR1: before}
