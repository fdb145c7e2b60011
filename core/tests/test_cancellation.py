"""A loop ends when its task is cancelled, also if a library drops the cancellation."""

import asyncio
import contextlib

from lepton_core.cancellation import raise_if_cancelled


async def test_a_loop_ends_although_its_cancellation_was_dropped() -> None:
    rounds = 0

    async def run() -> None:
        nonlocal rounds
        while True:
            raise_if_cancelled()
            rounds += 1
            # As wait_for of Python 3.11 does when the result is there at the same time.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.001)

    task = asyncio.create_task(run())
    await asyncio.sleep(0.01)
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5)
    assert task in done
    assert task.cancelled()
    assert rounds > 1


async def test_a_timeout_is_not_a_cancellation() -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.sleep(5)
    raise_if_cancelled()
