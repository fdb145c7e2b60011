"""Calls that share one: who gets what, who waits for whom, and what one caller's end does to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import copy_context

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity import Principal, PrincipalKind, Role, current_principal, set_principal
from lepton_gateway.registry.call_batcher import MAX_BATCH_BYTES, MAX_BATCH_CALLS, MAX_CALLS_IN_FLIGHT, CallBatcher
from lepton_proto.v1 import runs_pb2

ANNA = Principal(PrincipalKind.KEY, "key_a", "prj_a", Role.EDITOR)
BERT = Principal(PrincipalKind.KEY, "key_b", "prj_b", Role.EDITOR)


class Server:
    """Answers each submission with its key; holds the calls back until it may go on."""

    def __init__(self) -> None:
        self.calls: list[tuple[Principal, list[str]]] = []
        self.go = asyncio.Event()
        self.error: Exception | None = None

    async def __call__(self, submissions: Sequence[runs_pb2.Submission]) -> list[str]:
        keys = [each.idempotency_key for each in submissions]
        self.calls.append((current_principal(), keys))
        await self.go.wait()
        if self.error:
            raise self.error
        return keys


def call(batcher: CallBatcher[runs_pb2.Submission, str], who: Principal, key: str, spec: str = "") -> asyncio.Task[str]:
    context = copy_context()
    context.run(set_principal, who)
    submission = runs_pb2.Submission(idempotency_key=key, spec_json=spec)
    return asyncio.get_running_loop().create_task(batcher.call(submission), context=context)


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def busy(server: Server) -> tuple[CallBatcher[runs_pb2.Submission, str], list[asyncio.Task[str]]]:
    """As many calls under way as there may be."""
    batcher = CallBatcher(server)
    first = [call(batcher, ANNA, f"first-{number}") for number in range(MAX_CALLS_IN_FLIGHT)]
    await settle()
    assert len(server.calls) <= MAX_CALLS_IN_FLIGHT
    while len(server.calls) < MAX_CALLS_IN_FLIGHT:
        first.append(call(batcher, ANNA, f"more-{len(first)}"))
        await settle()
    return batcher, first


async def test_a_lone_call_is_made_at_once() -> None:
    server = Server()
    task = call(CallBatcher(server), ANNA, "a")
    await settle()
    assert server.calls == [(ANNA, ["a"])]
    server.go.set()
    assert await task == "a"


async def test_each_gets_its_own_answer_and_no_call_speaks_for_two_callers() -> None:
    server = Server()
    batcher, first = await busy(server)
    tasks = [call(batcher, ANNA if number % 2 else BERT, str(number)) for number in range(20)]
    await settle()
    server.go.set()
    assert await asyncio.gather(*tasks) == [str(number) for number in range(20)]
    await asyncio.gather(*first)
    assert [(who, len(keys)) for who, keys in server.calls[MAX_CALLS_IN_FLIGHT:]] == [(BERT, 10), (ANNA, 10)]


async def test_a_call_is_bounded_in_count_and_size() -> None:
    server = Server()
    batcher, first = await busy(server)
    many = [call(batcher, BERT, f"n{number}") for number in range(MAX_BATCH_CALLS + 1)]
    large = [call(batcher, ANNA, f"l{number}", "x" * (MAX_BATCH_BYTES // 2 + 1)) for number in range(2)]
    await settle()
    server.go.set()
    await asyncio.gather(*first, *many, *large)
    after = [(who.id, len(keys)) for who, keys in server.calls[MAX_CALLS_IN_FLIGHT:]]
    # Who sends a lot waits behind the others.
    assert after == [("key_b", MAX_BATCH_CALLS), ("key_a", 1), ("key_b", 1), ("key_a", 1)]


async def test_a_caller_that_hangs_up_takes_nobody_along() -> None:
    server = Server()
    batcher, first = await busy(server)
    leaving, staying = call(batcher, BERT, "leaving"), call(batcher, BERT, "staying")
    await settle()
    leaving.cancel()
    first[0].cancel()
    server.go.set()
    assert await staying == "staying"
    with pytest.raises(asyncio.CancelledError):
        await leaving


async def test_a_failed_call_tells_everybody_and_the_next_is_made() -> None:
    server = Server()
    batcher, first = await busy(server)
    server.error = LeptonError(ErrorCode.UNAVAILABLE, "away")
    tasks = [call(batcher, BERT, str(number)) for number in range(2)]
    await settle()
    server.go.set()
    for found in await asyncio.gather(*first, *tasks, return_exceptions=True):
        assert isinstance(found, LeptonError)
        assert found.code is ErrorCode.UNAVAILABLE
    server.error = None
    assert await call(batcher, ANNA, "again") == "again"
