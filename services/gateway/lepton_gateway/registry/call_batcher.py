"""Batches requests to the registry: those that arrive during a call are sent together in the next one.

A class of its own: a call belongs to one principal and has a limit of bytes, while the registry's `WriteBatcher` tries
items alone after a failed commit, and the inference service's queue is bounded, has deadlines and joins tensors.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message

from lepton_core.identity import Principal, current_principal

Request = TypeVar("Request", bound=Message)
Answer = TypeVar("Answer")

# Two calls at a time: one can be sent while the registry handles the other.
MAX_CALLS_IN_FLIGHT = 2
MAX_BATCH_CALLS = 64
MAX_BATCH_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Request, Answer]):
    request: Request
    future: asyncio.Future[Answer]
    # The context of the request: its principal and its request id.
    context: Context


class CallBatcher(Generic[Request, Answer]):
    """`make` sends several requests of one principal in one call, and returns their answers in the same order."""

    def __init__(self, make: Callable[[Sequence[Request]], Awaitable[Sequence[Answer]]]) -> None:
        self._make = make
        self._waiting: dict[Principal, list[_Waiting[Request, Answer]]] = {}
        self._calls: set[asyncio.Task[None]] = set()

    async def call(self, request: Request) -> Answer:
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(current_principal(), []).append(_Waiting(request, future, copy_context()))
        self._begin()
        return await future

    def _begin(self) -> None:
        while self._waiting and len(self._calls) < MAX_CALLS_IN_FLIGHT:
            batch = self._next_batch()
            # In its own task: a caller that is cancelled must not cancel the call for the others.
            task = asyncio.get_running_loop().create_task(self._make_call(batch), context=batch[0].context)
            self._calls.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self._begin()

    def _next_batch(self) -> list[_Waiting[Request, Answer]]:
        """Requests of the principal that waits longest, as many as one call may carry."""
        principal, waiting = next(iter(self._waiting.items()))
        count, size = 0, 0
        while count < min(len(waiting), MAX_BATCH_CALLS):
            size += waiting[count].request.ByteSize()
            if count and size > MAX_BATCH_BYTES:
                break
            count += 1
        batch, rest = waiting[:count], waiting[count:]
        del self._waiting[principal]
        if rest:
            # Goes behind the other principals, so that one with many requests does not delay them.
            self._waiting[principal] = rest
        return batch

    async def _make_call(self, batch: Sequence[_Waiting[Request, Answer]]) -> None:
        try:
            answers = await self._make([each.request for each in batch])
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            for each in batch:
                if not each.future.done():
                    each.future.set_exception(error)
        else:
            for each, answer in zip(batch, answers, strict=True):
                if not each.future.done():
                    each.future.set_result(answer)
