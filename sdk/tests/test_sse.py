"""Server-sent events, as they may arrive."""

from __future__ import annotations

from lepton.transport.sse import Message, messages


def test_fields_comments_and_several_data_lines() -> None:
    lines = [": connected", "", "id: 7", "event: logs", 'data: {"a":', "data:1}", "retry: 5", "", "data: x", ""]
    assert list(messages(lines)) == [Message("logs", '{"a":\n1}', "7"), Message("message", "x", "7")]
    assert next(iter(messages(lines))).json() == {"a": 1}


def test_an_event_without_data_is_none_and_a_torn_one_is_not_given_out() -> None:
    assert list(messages(["event: logs", "", "data: whole", "", "id: 9", "data: torn"])) == [
        Message("message", "whole", "")
    ]
