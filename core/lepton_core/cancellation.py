"""Cancellation that a library has dropped."""

import asyncio


def raise_if_cancelled() -> None:
    """For a loop that ends only when its task is cancelled: to be called in each round.

    On Python 3.11 `asyncio.wait_for` drops a cancellation that comes together with the result (python/cpython#86296),
    and redis-py uses it to send each command. The loop would run for ever, and its service would not stop.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
