"""`lepton.log`: checks the values of a call and writes them to the journal. No value makes a call raise.

Any thread may log, and any process that inherits the job: forks, workers of a DataLoader, subprocesses. They share the
journal of their rank, and each record is appended under a lock of the operating system.
"""

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lepton_core.api.limits import MAX_METRIC_KEY_CHARS, MAX_METRIC_NAMES, MAX_METRICS_PER_RECORD
from lepton_core.journal import MAX_RECORD_BYTES, append_records, encode_record
from lepton_core.plain_text import plain
from lepton_core.workspace_files import Workspace

_MAX_NOTES = 256


class MetricLog:
    """The metrics of one process. `first_step` is the step that the run resumes from, or 0."""

    def __init__(self, workspace: Workspace, rank: int, first_step: int, note: Callable[[str, str], None]) -> None:
        self._path = workspace.metrics_journal(rank)
        self._note = note
        self._last_step = first_step
        self._names: set[str] = set()
        self._lock = threading.Lock()
        # If another thread holds the lock at a fork, nothing would ever release it in the child.
        os.register_at_fork(after_in_child=self._renew_lock)

    @property
    def last_step(self) -> int:
        return self._last_step

    def log(self, values: Mapping[Any, Any], step: Any) -> None:
        number = self._step(step)
        if number is None:
            return
        finite = dict(self._finite(values, number))
        if finite:
            append_records(self._path, _records(finite, number))

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()

    def _step(self, step: Any) -> int | None:
        with self._lock:
            number = self._last_step + 1 if step is None else whole_number(step)
            if number is None or not 0 <= number < 2**63:
                self._note("step", f"step={_shown(step)} is not recorded; allowed: whole numbers from 0 on")
                return None
            self._last_step = number
            return number

    def _finite(self, values: Mapping[Any, Any], step: int) -> Iterator[tuple[str, float]]:
        for name, value in values.items():
            if problem := _name_problem(name):
                self._note(f"name {_shown(name)}", f"{_shown(name)} is not recorded: {problem}")
                continue
            try:
                number = float(value)
            except Exception:  # noqa: BLE001 - __float__ of any type may raise anything
                text = f"{_shown(name)} is {_shown(value)} at step {step}; only numbers are recorded"
                self._note(f"value {name}", text)
                continue
            if not math.isfinite(number):
                self._note(f"value {name}", f"{name} is {number} at step {step}; only finite numbers are recorded")
            elif self._admit(name):
                yield name, number

    def _admit(self, name: str) -> bool:
        with self._lock:
            if name in self._names:
                return True
            if len(self._names) >= MAX_METRIC_NAMES:
                text = f"{name!r} and further new names are not recorded: a run has at most {MAX_METRIC_NAMES} metrics"
                self._note("too many names", text)
                return False
            self._names.add(name)
            return True


class Notes:
    """Writes each warning once to standard error: a training loop would repeat it thousands of times."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, about: str, text: str) -> None:
        if about in self._seen or len(self._seen) >= _MAX_NOTES:
            return
        self._seen.add(about)
        try:
            sys.stderr.write(f"lepton.log: {plain(text)}\n")
        except (OSError, ValueError, AttributeError):
            # Standard error is closed, or there is none.
            return


def _records(values: Mapping[str, float], step: int) -> list[bytes]:
    """Encoded records of all values; several if the values exceed the limits of one record."""
    names = list(values)
    record = {"s": step, "t": time.time_ns() // 1000, "k": values}
    size = sum(len(name.encode()) + 40 for name in names)
    # JSON's escapes may double the size of a name.
    if len(names) == 1 or (len(names) <= MAX_METRICS_PER_RECORD and 6 * size < MAX_RECORD_BYTES):
        return [encode_record(record)]
    middle = len(names) // 2
    parts = names[:middle], names[middle:]
    return [line for part in parts for line in _records({name: values[name] for name in part}, step)]


def whole_number(step: Any) -> int | None:
    """The step as an integer; None if it is not one. Whole floats and tensors of one element are allowed; text and
    booleans are not, since Python would read them as numbers without a word."""
    if isinstance(step, str | bytes | bool):
        return None
    if isinstance(step, int):
        return int(step)
    try:
        number = float(step)
        return int(number) if number.is_integer() else None
    except Exception:  # noqa: BLE001 - __float__ of any type may raise anything
        return None


def _name_problem(name: Any) -> str:
    if not isinstance(name, str):
        return "the name of a metric is text"
    if not 0 < len(name) <= MAX_METRIC_KEY_CHARS:
        return f"the name of a metric has 1 to {MAX_METRIC_KEY_CHARS} characters"
    if "\0" in name or any("\ud800" <= character <= "\udfff" for character in name):
        return "the name of a metric holds no zero character and no lone surrogate"
    return ""


def _shown(value: Any) -> str:
    """A short text for any object, which can always be printed."""
    try:
        return ascii(value)[:80]
    except Exception:  # noqa: BLE001 - repr() of any type may raise anything, of long integers too
        return f"of type {type(value).__name__}"
