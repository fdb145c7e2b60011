"""Server-sent events: cursors, ends, errors."""

import json
from collections.abc import AsyncIterator

import pytest

from lepton_core.api import LogChunk
from lepton_core.errors import ErrorCode, LeptonError
from lepton_gateway.http.streams import first, position, tail, with_keep_alive
from lepton_gateway.registry.runs import Tail


def test_last_event_id_goes_before_the_query() -> None:
    assert position("", 5) == 5
    assert position("17", 5) == 17


@pytest.mark.parametrize("value", ["x", "-1", "1.5", "٣", "9" * 40, "1 OR 1=1"])
def test_a_position_that_is_none_is_refused(value: str) -> None:
    with pytest.raises(LeptonError) as caught:
        position(value, 0)
    assert caught.value.code is ErrorCode.INVALID


async def test_a_tail_ends_when_the_run_has_and_carries_a_cursor_to_resume_at() -> None:
    pages = {
        "": Tail(
            [LogChunk(stream="rank-0", data=b"caf\xc3"), LogChunk(stream="rank-0", data=b"\xa9\n", offset=4)],
            "a",
            end=False,
        ),
        "a": Tail([LogChunk(stream="rank-0", data=b"\xff\n", offset=6)], "b", end=True),
        "b": Tail([], "b", end=True),
    }

    async def read(cursor: str) -> Tail:
        return pages[cursor]

    sent = [message async for message in tail(read, "logs", "", await first(read, ""))]
    assert [line.split("\n")[0] for line in sent] == ["id: a", "id: b", "id: b"]
    assert [piece["text"] for piece in json.loads(sent[0].split("data: ")[1])] == ["caf", "é\n"]
    assert json.loads(sent[1].split("data: ")[1])[0]["text"] == "�\n"
    assert "event: end" in sent[2]
    assert [message async for message in tail(read, "logs", "a", await first(read, "a"))] == sent[1:]


async def test_an_error_in_the_middle_is_told_in_the_stream() -> None:
    async def messages() -> AsyncIterator[str]:
        yield "data: 1\n\n"
        raise LeptonError(ErrorCode.UNAVAILABLE, "the registry is away")

    sent = [message async for message in with_keep_alive(messages())]
    assert sent[0].startswith(":")
    assert sent[1] == "data: 1\n\n"
    assert sent[2].startswith("event: problem")
    assert "unavailable" in sent[2]
