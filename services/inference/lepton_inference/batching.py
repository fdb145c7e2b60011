"""A bounded queue of requests for each model revision, which batches the requests of both transports.

It does not wait for a batch to fill: the next batch has the requests that arrived while the last one ran, or in the
same iteration of the event loop. So an idle model answers at once, and a busy one gets larger batches.

Shares no code with the batchers of gateway and registry: what is written here, limits, joined tensors and the choice of
loop or thread, has no counterpart there.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lepton_core.errors import ErrorCode, LeptonError

Array = NDArray[Any]
Tensors = dict[str, Array]
Model = Callable[[Tensors], Tensors]

SLOW_RUNS = 5


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """`rows` 1: the model's batch size is fixed, so each request runs alone."""

    capacity: int
    capacity_bytes: int
    rows: int
    # Batches up to this size run on the event loop; measured by the warm-up, 0 for a slow model.
    inline_bytes: int
    inline_seconds: float


@dataclass(slots=True, eq=False)
class _Waiting:
    inputs: Tensors
    rows: int
    bytes: int
    # Only requests whose tensors have equal shapes, apart from the batch dimension, can be in one batch.
    shape: list[tuple[int, ...]]
    deadline: float | None
    answer: asyncio.Future[Tensors]


@dataclass(slots=True)
class InlineRun:
    """The revision that now runs on the event loop, for the watchdog's thread; empty for none."""

    revision_id: str = ""


class BatchingQueue:
    def __init__(
        self,
        model: Model,
        limits: BatchLimits,
        executor: Executor,
        inline_run: InlineRun | None = None,
        revision_id: str = "",
    ) -> None:
        self._model = model
        self._limits = limits
        self._executor = executor
        self._inline_run = inline_run or InlineRun()
        self._revision_id = revision_id
        self._inline_bytes = limits.inline_bytes
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._busy = False
        self._slow_runs = 0
        # Number of requests that were sent to the model.
        self.taken = 0
        # Number of batches that were sent to the model.
        self.batches = 0

    @property
    def depth(self) -> int:
        """Number of waiting requests, without those whose client is gone."""
        return sum(not item.answer.done() for item in self._waiting)

    @property
    def slow(self) -> bool:
        """Whether answers take so long that it is useful to detect a client's disconnect."""
        return self._inline_bytes == 0

    async def submit(self, inputs: Tensors, deadline: float | None = None) -> Tensors:
        """`deadline` is in the event loop's time. Raises RATE_LIMITED if the queue is full, TIMEOUT after the
        deadline."""
        loop = asyncio.get_running_loop()
        size, rows = 0, 1
        shape = []
        for array in inputs.values():
            size += array.nbytes
            rows = array.shape[0]
            shape.append(array.shape[1:])
        full = len(self._waiting) >= self._limits.capacity
        if full or (self._waiting and self._bytes + size > self._limits.capacity_bytes):
            detail = f"{len(self._waiting)} requests already wait for this model"
            raise LeptonError(ErrorCode.RATE_LIMITED, detail, retry_after_seconds=1.0)
        item = _Waiting(inputs, rows, size, shape, deadline, loop.create_future())
        self._waiting.append(item)
        self._bytes += size
        if not self._busy:
            self._busy = True
            loop.call_soon(self._next, loop)
        return await item.answer

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = self._take(loop.time())
        if not batch:
            self._busy = False
            return
        self.taken += len(batch)
        self.batches += 1
        size = sum(item.bytes for item in batch)
        if size > self._inline_bytes:
            running = loop.run_in_executor(self._executor, self._run, batch)
            running.add_done_callback(lambda done: self._finish(loop, batch, done.result()))
            return
        started = time.perf_counter()
        self._inline_run.revision_id = self._revision_id
        answers = self._run(batch)
        self._inline_run.revision_id = ""
        self._learn(size, time.perf_counter() - started)
        self._finish(loop, batch, answers)

    def _learn(self, size: int, seconds: float) -> None:
        """Moves batches of this size to a thread, if several in a row were slower than the warm-up had measured.

        A single slow one is ignored: the operating system may have used the core for another process.
        """
        self._slow_runs = self._slow_runs + 1 if seconds > self._limits.inline_seconds else 0
        if self._slow_runs >= SLOW_RUNS:
            self._inline_bytes = size // 2
            self._slow_runs = 0

    def _finish(
        self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting], answers: list[Tensors | Exception]
    ) -> None:
        for item, answer in zip(batch, answers, strict=True):
            if item.answer.done():
                continue
            if isinstance(answer, Exception):
                item.answer.set_exception(answer)
            else:
                item.answer.set_result(answer)
        if self._waiting:
            loop.call_soon(self._next, loop)
        else:
            self._busy = False

    def _take(self, now: float) -> list[_Waiting]:
        """The next batch: the oldest request whose client still waits, and later ones that can be in the same batch."""
        batch: list[_Waiting] = []
        rows = 0
        while self._waiting:
            item = self._waiting[0]
            gone = item.answer.done()
            late = item.deadline is not None and item.deadline <= now
            if (
                not gone
                and not late
                and batch
                and (item.shape != batch[0].shape or rows + item.rows > self._limits.rows)
            ):
                break
            self._waiting.popleft()
            self._bytes -= item.bytes
            if late and not gone:
                item.answer.set_exception(
                    LeptonError(ErrorCode.TIMEOUT, "the deadline passed while the request waited")
                )
            elif not gone:
                batch.append(item)
                rows += item.rows
        return batch

    def _run(self, batch: list[_Waiting]) -> list[Tensors | Exception]:
        try:
            if len(batch) == 1:
                return [self._model(batch[0].inputs)]
            return _split(self._model(_joined(batch)), [item.rows for item in batch])
        except Exception as error:  # noqa: BLE001 - every request must get an answer, whatever the runtime raises
            if len(batch) == 1:
                return [error]
            # One bad request must not fail the others of the batch.
            return [answer for item in batch for answer in self._run([item])]


def _joined(batch: list[_Waiting]) -> Tensors:
    return {name: np.concatenate([item.inputs[name] for item in batch]) for name in batch[0].inputs}


def _split(outputs: Mapping[str, Array], rows: list[int]) -> list[Tensors | Exception]:
    total = sum(rows)
    if any(len(array) != total for array in outputs.values()):
        raise LeptonError(ErrorCode.INTERNAL, "the model's output has another batch size than its input")
    answers: list[Tensors | Exception] = []
    start = 0
    for count in rows:
        end = start + count
        answers.append({name: array[start:end] for name, array in outputs.items()})
        start = end
    return answers
