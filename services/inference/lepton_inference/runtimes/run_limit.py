"""Ends runs of ONNX Runtime that take too long.

All models share a few threads: a model that never ends for some input would hold one for ever, and a few requests to
such models would stop all others.
"""

import threading
import time
from typing import Any

import onnxruntime as ort

# ONNX Runtime looks at the flag between two nodes, also within a loop.
MAX_RUN_SECONDS = 60.0
LOOK_SECONDS = 1.0
_QUIET = 4


class Run:
    """One thread's runs: only one at a time. Its options are reused, since a run may take only microseconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began = 0.0
        self.options = _options()

    def begin(self) -> None:
        with self._lock:
            self._began = time.monotonic()

    def end(self) -> bool:
        """Whether the run was ended because it took too long."""
        with self._lock:
            self._began = 0.0
            late = bool(self.options.terminate)
            if late:
                self.options = _options()
            return late

    def check(self, now: float, seconds: float) -> None:
        with self._lock:
            if self._began and now - self._began > seconds:
                self.options.terminate = True


class RunLimit:
    """Looks at the runs of all threads from a thread of its own."""

    def __init__(self, seconds: float = MAX_RUN_SECONDS, look_seconds: float = LOOK_SECONDS) -> None:
        self.seconds = seconds
        self._look_seconds = look_seconds
        self._mine = threading.local()
        self._lock = threading.Lock()
        self._runs: list[tuple[threading.Thread, Run]] = []
        self._watching = False

    def run(self) -> Run:
        """The calling thread's."""
        found: Run | None = getattr(self._mine, "run", None)
        if found is None:
            found = self._mine.run = Run()
            with self._lock:
                self._runs = [each for each in self._runs if each[0].is_alive()]
                self._runs.append((threading.current_thread(), found))
                if not self._watching:
                    self._watching = True
                    threading.Thread(target=self._watch, name="run-limit", daemon=True).start()
        return found

    def _watch(self) -> None:
        while True:
            time.sleep(self._look_seconds)
            now = time.monotonic()
            for _, run in list(self._runs):
                run.check(now, self.seconds)


def _options() -> Any:
    options = ort.RunOptions()
    options.log_severity_level = _QUIET
    return options
