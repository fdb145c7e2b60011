"""A thread that ends the process if its event loop is blocked, and that passes signals to the loop.

Fast models run on the event loop itself (decision 6). A model that is fast for most inputs but never ends for some
would block the loop for ever: no request is answered, and no signal is handled, since Python runs signal handlers only
between two instructions of the main thread, which is in the model. The watchdog's thread still runs, since runtimes
release the interpreter's lock.
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
    """`on_stuck` is called in the thread before the process ends; its result is logged."""

    def __init__(self, stuck_seconds: float, drain_seconds: float, on_stuck: Callable[[], str]) -> None:
        self._stuck_seconds = stuck_seconds
        # The limit after a signal to stop: not longer than current requests may take.
        self._drain_seconds = min(drain_seconds, stuck_seconds)
        self._on_stuck = on_stuck
        self._beats = 0
        self._closing = threading.Event()

    @contextlib.contextmanager
    def watching(self, stop: asyncio.Event) -> Iterator[None]:
        """Sets `stop` at SIGTERM and SIGINT. To be called in the main thread, on the running loop."""
        loop = asyncio.get_running_loop()
        reading, writing = socket.socketpair()
        writing.setblocking(False)
        # The interpreter writes the number of a signal to this socket at once, whatever the main thread is doing. It
        # does so only for signals with a Python handler, so each gets one that does nothing.
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
            # Counts iterations of this thread instead of time: a process that was suspended is not blocked.
            stuck = stuck + TICK_SECONDS if self._beats == seen else 0.0
            seen = self._beats
            if stuck >= limit:
                self._end(stuck)

    def _end(self, seconds: float) -> None:
        log.error("the event loop has been blocked for %g s; the process ends now: %s", seconds, self._on_stuck())
        faulthandler.dump_traceback(sys.stderr, all_threads=True)
        logging.shutdown()
        os._exit(EXIT_CODE)
