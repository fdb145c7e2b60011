"""Signals that a program acts on."""

import signal
import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Any, NoReturn


def act_on(numbers: Iterable[int], act: Callable[[], None]) -> dict[int, Any]:
    """Calls `act` in a thread each time that one of the signals arrives. Returns the handlers that were there before.

    A handler interrupts the main thread anywhere, also while it holds the lock of an Event or of a log. A handler that
    needs the same lock, as `Event.set` does, would wait for ever.
    """
    # Its `put` needs no lock that the interrupted code could hold.
    arrived: SimpleQueue[int] = SimpleQueue()

    def work() -> NoReturn:
        while True:
            arrived.get()
            act()

    threading.Thread(target=work, name="signals", daemon=True).start()
    return {number: signal.signal(number, lambda each, _frame: arrived.put(each)) for number in numbers}
