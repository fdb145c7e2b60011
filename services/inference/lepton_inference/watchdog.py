"""A thread that ends the process when its event loop is stuck, and that passes signals to the loop.

Quick models run on the event loop itself (decision 6). One that is quick on most inputs and endless on some would stop
the loop for good: no request is answered, and no signal is handled, since Python runs signal handlers between two steps
of the main thread, which is inside the model. The thread still runs, as the runtime lets go of the interpreter.
"""

import asyncio
import contextlib
import faulthandler
import logging
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)

TICK_SECONDS = 0.25
EXIT_CODE = 3


class Watchdog:
    """`on_stuck` is called in the thread before the process ends; what it answers goes into the log."""

    def __init__(self, stuck_seconds: float, drain_seconds: float, on_stuck: Callable[[], str]) -> None:
        self._stuck_seconds = stuck_seconds
        # Once the process was told to stop, a loop that is stuck has no longer than requests in hand have.
        self._drain_seconds = min(drain_seconds, stuck_seconds)
        self._on_stuck = on_stuck
        self._beats = 0
        self._closing = threading.Event()

    @contextlib.contextmanager
    def watching(self, stop: asyncio.Event) -> Iterator[None]:
        """Sets `stop` at SIGTERM and SIGINT. Call it in the main thread, within the running loop."""
        loop = asyncio.get_running_loop()
        reading, writing = socket.socketpair()
        writing.setblocking(False)
        # The interpreter writes the number of a signal there at once, whatever the main thread is doing. With a handler
        # of Python's, so that the number is written and nothing else happens.
        numbers = (signal.SIGTERM, signal.SIGINT)
        handlers = {number: signal.signal(number, lambda _number, _frame: None) for number in numbers}
        before = signal.set_wakeup_fd(writing.fileno())
        beating = asyncio.create_task(self._beat())
        thread = threading.Thread(target=self._watch, args=(reading, loop, stop), name="watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._closing.set()
            thread.join()
            beating.cancel()
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            reading.close()
            writing.close()

    async def _beat(self) -> None:
        while True:
            self._beats += 1
            await asyncio.sleep(TICK_SECONDS)

    def _watch(self, reading: socket.socket, loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        limit = self._stuck_seconds
        seen, stuck = self._beats, 0.0
        while not self._closing.is_set():
            if select.select([reading], [], [], TICK_SECONDS)[0]:
                reading.recv(64)
                limit = self._drain_seconds
                loop.call_soon_threadsafe(stop.set)
                continue
            # Turns of this thread are counted, not time: a process that was paused as a whole is not stuck.
            stuck = stuck + TICK_SECONDS if self._beats == seen else 0.0
            seen = self._beats
            if stuck >= limit:
                self._end(stuck)

    def _end(self, seconds: float) -> None:
        log.error("the event loop is stuck for %g s; the process ends now: %s", seconds, self._on_stuck())
        faulthandler.dump_traceback(sys.stderr, all_threads=True)
        logging.shutdown()
        os._exit(EXIT_CODE)
