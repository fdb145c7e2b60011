"""Server-sent events: where they end, and what is answered to a client that comes back after the end."""

from __future__ import annotations

import asyncio

import pytest

from lepton.transport.sse import Message, messages
from tests.gateway.conftest import Door

DEADLINE_SECONDS = 20.0


async def ended_run(door: Door) -> str:
    run_id: str = (await door.submit()).json()["id"]
    assert (await door.http.post(f"/v1/runs/{run_id}:cancel")).status_code == 202
    return run_id


async def read(door: Door, path: str) -> list[Message]:
    """The whole stream: httpx's ASGI transport gives an answer when it is complete."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        answer = await door.http.get(path)
    assert answer.status_code == 200
    return list(messages(answer.text.split("\n")))


async def test_events_of_a_run_end_with_the_run(door: Door) -> None:
    run_id = await ended_run(door)
    found = await read(door, f"/v1/runs/{run_id}/events/stream")
    assert [each.event for each in found] == ["dev.lepton.run.queued.v1", "dev.lepton.run.cancelled.v1", "end"]
    assert found[-1].id == found[-2].id


@pytest.mark.parametrize("name", ["events", "metrics", "logs"])
async def test_who_comes_back_after_the_end_is_told_to_stay_away(door: Door, name: str) -> None:
    path = f"/v1/runs/{await ended_run(door)}/{name}/stream"
    end = (await read(door, path))[-1]
    assert end.event == "end"
    answer = await door.http.get(path, headers={"last-event-id": end.id})
    assert (answer.status_code, answer.content) == (204, b"")


async def test_who_comes_back_before_the_end_goes_on(door: Door) -> None:
    path = f"/v1/runs/{await ended_run(door)}/events/stream"
    queued, cancelled, end = await read(door, path)
    answer = await door.http.get(path, headers={"last-event-id": queued.id})
    assert list(messages(answer.text.split("\n"))) == [cancelled, end]
