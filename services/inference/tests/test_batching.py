"""The queue: alone at once, together when busy, bounded, and nobody pays for a neighbour's fault."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_inference.batching import SLOW_RUNS, BatchingQueue, BatchLimits, Tensors

ROW = np.ones((1, 2), np.float32)


class Recorder:
    """A model that notes the sizes of its batches, and waits at a gate when it has one."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.sizes: list[int] = []
        self.entered = threading.Event()
        self.gate = gate

    def __call__(self, inputs: Tensors) -> Tensors:
        self.sizes.append(len(inputs["x"]))
        self.entered.set()
        if self.gate:
            assert self.gate.wait(10)
        if (inputs["x"] < 0).any():
            raise invalid("x", "negative")
        return {"y": inputs["x"] * 2}


def queue_of(
    model: Any, *, inline: bool = True, rows: int = 8, capacity: int = 100, capacity_bytes: int = 10**6
) -> BatchingQueue:
    limits = BatchLimits(capacity, capacity_bytes, rows, 10**6 if inline else 0, 10.0)
    return BatchingQueue(model, limits, ThreadPoolExecutor(1))


async def blocked(queue: BatchingQueue, model: Recorder) -> "asyncio.Task[Tensors]":
    """The model, busy with one request at its gate."""
    first = asyncio.create_task(queue.submit({"x": ROW}))
    await asyncio.to_thread(model.entered.wait, 10)
    return first


@pytest.mark.parametrize("inline", [True, False])
async def test_answers_go_back_to_who_asked(inline: bool) -> None:
    model = Recorder()
    queue = queue_of(model, inline=inline, rows=5)
    inputs = [np.full((1 + index % 3, 2), index, np.float32) for index in range(30)]
    answers = await asyncio.gather(*(queue.submit({"x": each}) for each in inputs))
    for sent, answer in zip(inputs, answers, strict=True):
        np.testing.assert_array_equal(answer["y"], sent * 2)
    assert max(model.sizes) <= 5
    assert len(model.sizes) < 30


async def test_what_waits_goes_together_and_the_idle_model_does_not_wait() -> None:
    model = Recorder(threading.Event())
    queue = queue_of(model, inline=False)
    first = await blocked(queue, model)
    rest = [asyncio.create_task(queue.submit({"x": ROW})) for _ in range(5)]
    await asyncio.sleep(0)
    assert model.gate
    model.gate.set()
    await asyncio.gather(first, *rest)
    assert model.sizes == [1, 5]


async def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    model = Recorder(threading.Event())
    queue = queue_of(model, inline=False, capacity=2)
    first = await blocked(queue, model)
    waiting = [asyncio.create_task(queue.submit({"x": ROW})) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(LeptonError) as caught:
        await queue.submit({"x": ROW})
    assert caught.value.code is ErrorCode.RATE_LIMITED
    assert caught.value.retry_after_seconds
    assert model.gate
    model.gate.set()
    await asyncio.gather(first, *waiting)
    assert (await queue.submit({"x": ROW}))["y"].tolist() == [[2, 2]]


async def test_waiting_bytes_are_bounded_too() -> None:
    model = Recorder(threading.Event())
    queue = queue_of(model, inline=False, capacity_bytes=20)
    first = await blocked(queue, model)
    waiting = [asyncio.create_task(queue.submit({"x": ROW})) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(LeptonError):
        await queue.submit({"x": ROW})
    assert model.gate
    model.gate.set()
    await asyncio.gather(first, *waiting)


async def test_requests_nobody_waits_for_are_not_run() -> None:
    model = Recorder(threading.Event())
    queue = queue_of(model, inline=False)
    first = await blocked(queue, model)
    loop = asyncio.get_running_loop()
    gone = asyncio.create_task(queue.submit({"x": ROW}))
    late = asyncio.create_task(queue.submit({"x": ROW}, loop.time()))
    stays = asyncio.create_task(queue.submit({"x": ROW}, loop.time() + 60))
    await asyncio.sleep(0)
    gone.cancel()
    assert model.gate
    model.gate.set()
    await asyncio.gather(first, stays)
    with pytest.raises(LeptonError) as caught:
        await late
    assert caught.value.code is ErrorCode.TIMEOUT
    assert model.sizes == [1, 1]


@pytest.mark.parametrize("inline", [True, False])
async def test_one_bad_request_fails_alone(inline: bool) -> None:
    queue = queue_of(Recorder(), inline=inline)
    rows = [ROW, -ROW, ROW]
    answers = await asyncio.gather(*(queue.submit({"x": row}) for row in rows), return_exceptions=True)
    assert isinstance(answers[1], LeptonError)
    for index in (0, 2):
        assert isinstance(answers[index], dict)


async def test_requests_of_other_shapes_are_not_joined() -> None:
    model = Recorder()
    queue = queue_of(model)
    shapes = [(1, 2), (1, 3), (1, 3), (1, 2)]
    answers = await asyncio.gather(*(queue.submit({"x": np.ones(shape, np.float32)}) for shape in shapes))
    assert [answer["y"].shape for answer in answers] == shapes
    assert model.sizes == [1, 2, 1]


async def test_a_model_that_grows_slow_leaves_the_event_loop() -> None:
    threads: list[threading.Thread] = []

    def model(inputs: Tensors) -> Tensors:
        threads.append(threading.current_thread())
        return inputs

    # So small a limit that any run exceeds it.
    limits = BatchLimits(10, 10**6, 8, 10**6, 1e-9)
    queue = BatchingQueue(model, limits, ThreadPoolExecutor(1))
    for _ in range(SLOW_RUNS + 1):
        await queue.submit({"x": ROW})
    assert set(threads[:SLOW_RUNS]) == {threading.main_thread()}
    assert threads[SLOW_RUNS] is not threading.main_thread()
