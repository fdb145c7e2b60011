"""Messages of producers: what is read, what is refused, and which key they get."""

import json

import pytest
from kombu import Message

from lepton_core.errors import ErrorCode, LeptonError
from lepton_gateway.intake.messages import MAX_MESSAGE_BYTES, parse_message, peek_message_id
from lepton_gateway.intake.task import task_body

BODY = {"message_id": "m-1", "job": {"name": "x"}}


def test_the_producers_message_id_is_the_key_unless_the_body_carries_one() -> None:
    assert parse_message(json.dumps(BODY)).key == ("m-1", False)
    assert parse_message({**BODY, "idempotency_key": "k"}).key == ("k", True)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"job": {}}, "message_id"),
        ({"message_id": "", "job": {}}, "message_id"),
        ({"message_id": 7, "job": {}}, "message_id"),
        ({"message_id": "m"}, "job"),
        ({"message_id": "m", "job": []}, "job"),
        ({**BODY, "project": "other"}, "project"),
        ({**BODY, "idempotency_key": 1}, "idempotency_key"),
    ],
)
def test_a_wrong_message_names_the_field(body: dict[str, object], field: str) -> None:
    with pytest.raises(LeptonError) as caught:
        parse_message(body)
    assert caught.value.code is ErrorCode.INVALID
    assert caught.value.fields[0].field == field


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe{}", b"[]", b"NaN", b'"text"', b"[" * 100_000])
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(LeptonError) as caught:
        parse_message(data)
    assert caught.value.code is ErrorCode.INVALID


def test_a_huge_message_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(LeptonError) as caught:
        parse_message(b" " * (MAX_MESSAGE_BYTES + 1))
    assert caught.value.code is ErrorCode.TOO_LARGE


def test_the_id_of_a_refused_message_is_found_for_the_reply_where_there_is_one() -> None:
    assert peek_message_id(b'{"message_id": "m-9", "job": 1}') == "m-9"
    for data in (b"\xff", b"[]", {"message_id": 3}, None, 5):
        assert peek_message_id(data) == ""


def message(payload: object, headers: dict[str, str] | None = None, content_type: str = "application/json") -> Message:
    return Message(
        body=payload if isinstance(payload, str) else json.dumps(payload),
        content_type=content_type,
        content_encoding="utf-8",
        headers=headers or {},
        accept={"application/json"},
    )


@pytest.mark.parametrize(
    "sent",
    [
        message([[BODY], {}, {}], {"task": "lepton.submit"}),
        message([[], BODY, {}], {"task": "lepton.submit"}),
        message({"task": "lepton.submit", "id": "1", "args": [BODY], "kwargs": {}}),
        message({"task": "lepton.submit", "id": "1", "args": [], "kwargs": BODY}),
    ],
    ids=["protocol 2", "protocol 2, keywords", "protocol 1", "protocol 1, keywords"],
)
def test_both_protocols_of_celery_are_read(sent: Message) -> None:
    assert task_body(sent) == BODY


@pytest.mark.parametrize(
    "sent",
    [
        message([[BODY], {}, {}], {"task": "os.system"}),
        message([[BODY, BODY], {}, {}], {"task": "lepton.submit"}),
        message([[], {}, {}], {"task": "lepton.submit"}),
        message("{not json", {"task": "lepton.submit"}),
        message("plain", {"task": "lepton.submit"}, "text/plain"),
        message("gASVCAAAAAAAAACMBHRleHSULg==", {"task": "lepton.submit"}, "application/x-python-serialize"),
    ],
    ids=["another task", "two arguments", "none", "no JSON", "not accepted", "pickle"],
)
def test_what_is_no_call_of_submit_is_refused(sent: Message) -> None:
    with pytest.raises(LeptonError) as caught:
        task_body(sent)
    assert caught.value.code is ErrorCode.INVALID
