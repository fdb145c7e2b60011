"""Calls that pay to be made together: what comes while one is under way shares the next."""

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

# So that one is on its way while the other is answered.
MAX_CALLS = 2
MAX_TOGETHER = 64
MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Request, Answer]):
    request: Request
    future: asyncio.Future[Answer]
    # Whose call it is, and its request id.
    context: Context


class Together(Generic[Request, Answer]):
    """`make` answers several requests of one principal, in their order."""

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
        while self._waiting and len(self._calls) < MAX_CALLS:
            taken = self._take()
            # A task of its own: it is not one caller's to cancel.
            task = asyncio.get_running_loop().create_task(self._make_call(taken), context=taken[0].context)
            self._calls.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._calls.discard(task)
        self._begin()

    def _take(self) -> list[_Waiting[Request, Answer]]:
        """Of whoever waits longest, as many as one call may carry."""
        principal, waiting = next(iter(self._waiting.items()))
        count, size = 0, 0
        while count < min(len(waiting), MAX_TOGETHER):
            size += waiting[count].request.ByteSize()
            if count and size > MAX_BYTES:
                break
            count += 1
        taken, rest = waiting[:count], waiting[count:]
        del self._waiting[principal]
        if rest:
            # Behind the others: nobody is kept out by one who sends a lot.
            self._waiting[principal] = rest
        return taken

    async def _make_call(self, taken: Sequence[_Waiting[Request, Answer]]) -> None:
        try:
            answers = await self._make([each.request for each in taken])
        except Exception as error:  # noqa: BLE001 - handed to whoever waits
            for each in taken:
                if not each.future.done():
                    each.future.set_exception(error)
        else:
            for each, answer in zip(taken, answers, strict=True):
                if not each.future.done():
                    each.future.set_result(answer)
