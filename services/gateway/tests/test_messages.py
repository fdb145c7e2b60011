"""Messages of producers: what is read, what is refused, and which key they get."""

import base64
import json
from datetime import UTC, datetime

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_gateway.intake.messages import MAX_MESSAGE_BYTES, Origin, parse_message, peek_message_id
from lepton_gateway.intake.task import MAX_ENVELOPE_BYTES, TaskEntries, read_call
from lepton_gateway.json_body import parse_object

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


@pytest.mark.parametrize("depth", [100, 255, 900])
def test_a_message_nested_too_deep_for_the_job_is_refused_at_both_doors(depth: int) -> None:
    nested = '{"message_id": "m", "job": {"train": ' + "[" * depth + "]" * depth + "}}"
    for read in (lambda: parse_message(nested.encode()), lambda: read_call(message(f"[[{nested}], {{}}, {{}}]"))):
        with pytest.raises(LeptonError, match="nested too deep") as caught:
            read()
        assert caught.value.code is ErrorCode.INVALID


def test_a_huge_message_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(LeptonError) as caught:
        parse_message(b" " * (MAX_MESSAGE_BYTES + 1))
    assert caught.value.code is ErrorCode.TOO_LARGE


def test_the_id_of_a_refused_message_is_found_for_the_reply_where_there_is_one() -> None:
    assert peek_message_id(b'{"message_id": "m-9", "job": 1}') == "m-9"
    assert peek_message_id(b'{"message_id": "m-9", "job": {"name": "a", "name": "b"}}') == "m-9"
    for data in (b"\xff", b"[]", {"message_id": 3}, None, 5):
        assert peek_message_id(data) == ""


def message(payload: object, task: str = "lepton.submit", **change: object) -> dict[bytes, bytes]:
    """An entry as Celery writes it; protocol 1 names the task in the body instead."""
    body = payload if isinstance(payload, str) else json.dumps(payload)
    envelope = {
        "body": base64.b64encode(body.encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": task} if task else {},
        "properties": {"body_encoding": "base64", "delivery_tag": "x"},
    }
    return {b"task": json.dumps({**envelope, **change}).encode()}


@pytest.mark.parametrize(
    "sent",
    [
        message([[BODY], {}, {}]),
        message([[], BODY, {}]),
        message({"task": "lepton.submit", "id": "1", "args": [BODY], "kwargs": {}}, task=""),
        message({"task": "lepton.submit", "id": "1", "args": [], "kwargs": BODY}, task=""),
        message("", body=json.dumps([[BODY], {}, {}]), properties={}),
    ],
    ids=["protocol 2", "protocol 2, keywords", "protocol 1", "protocol 1, keywords", "no base64"],
)
def test_both_protocols_of_celery_are_read(sent: dict[bytes, bytes]) -> None:
    assert read_call(sent).argument == BODY
    assert read_call(sent).expired is None


CALL = [[BODY], {}, {}]


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        (message(CALL, task="os.system"), "task"),
        (message([[BODY, BODY], {}, {}]), "args"),
        (message([[], {}, {}]), "args"),
        (message([[BODY]]), "message"),
        (message("{not json"), "body"),
        (message("[" * 100_000), "body"),
        (message([*CALL[:2], {"callbacks": [{"task": "mail"}]}]), "link"),
        (message([*CALL[:2], {"errbacks": [{"task": "mail"}]}]), "link_error"),
        (message([*CALL[:2], {"chain": [{"task": "next"}]}]), "chain"),
        (message([*CALL[:2], {"chord": {"task": "all"}}]), "chord"),
        (message(CALL, headers={"task": "lepton.submit", "eta": "2030-01-01T00:00:00+00:00"}), "eta"),
        (message(CALL, headers={"task": "lepton.submit", "timelimit": [60, None]}), "time_limit"),
        (message(CALL, headers={"task": "lepton.submit", "expires": "soon"}), "expires"),
        (message(CALL, headers={"task": "lepton.submit", "expires": 7}), "expires"),
        (
            message({"task": "lepton.submit", "args": [BODY], "kwargs": {}, "eta": "2030-01-01T00:00:00"}, task=""),
            "eta",
        ),
        (message('[[{"message_id": NaN}], {}, {}]'), "body"),
        (message(CALL, body="%%%"), "body"),
        (message(CALL, body=7), "body"),
        (message(CALL, properties={"body_encoding": "rot13"}), "body"),
        (message(CALL, properties=7), "properties"),
        (message(CALL, headers=[1]), "headers"),
        (message(CALL, headers={"task": "lepton.submit", "compression": "application/x-gzip"}), "compression"),
        (message("plain", **{"content-type": "text/plain"}), "content-type"),
        (message("gASVCAAAAAAAAACMBHRleHSULg==", **{"content-type": "application/x-python-serialize"}), "content-type"),
    ],
)
def test_what_is_no_call_of_submit_is_refused(sent: dict[bytes, bytes], field: str) -> None:
    with pytest.raises(LeptonError) as caught:
        read_call(sent)
    assert caught.value.code is ErrorCode.INVALID
    assert caught.value.fields[0].field == field


@pytest.mark.parametrize("raw", [b"", b"hello", b"\xff", b"[1]", b"null", b"[" * 100_000])
def test_what_is_no_envelope_is_refused(raw: bytes) -> None:
    with pytest.raises(LeptonError) as caught:
        read_call({b"task": raw})
    assert caught.value.code is ErrorCode.INVALID


def test_a_huge_envelope_is_refused_before_it_is_parsed() -> None:
    with pytest.raises(LeptonError) as caught:
        read_call({b"task": b" " * (MAX_ENVELOPE_BYTES + 1)})
    assert caught.value.code is ErrorCode.TOO_LARGE


@pytest.mark.parametrize("expires", ["2026-01-01T11:59:59+00:00", "2026-01-01T12:00:00", "2026-01-01T13:59:00+02:00"])
def test_a_call_that_has_expired_is_refused_unless_it_was_accepted_before(expires: str) -> None:
    now = datetime(2026, 1, 1, 12, tzinfo=UTC)
    call = read_call(message(CALL, headers={"task": "lepton.submit", "expires": expires}), now)
    assert call.expired is not None
    assert call.expired.fields[0].field == "expires"
    later = read_call(message(CALL, headers={"task": "lepton.submit", "expires": "2026-01-01T12:00:01+00:00"}), now)
    assert later.expired is None


@pytest.mark.parametrize(
    ("sent", "message_id", "task_id"),
    [
        (message(CALL, headers={"task": "lepton.submit", "id": "t-1", "eta": "2030-01-01"}), "m-1", "t-1"),
        (message({"task": "lepton.submit", "id": "t-2", "args": [BODY], "kwargs": {}}, task=""), "m-1", "t-2"),
        (message(CALL, headers={"task": "lepton.submit", "id": "t-3"}, body="%%%"), "", "t-3"),
        (message(CALL, headers={"task": "os.system", "id": "t-4"}), "", "t-4"),
        (message(CALL, headers={"task": "lepton.submit", "id": 7}), "m-1", ""),
        ({b"task": b"hello"}, "", ""),
    ],
)
def test_a_refused_call_says_whose_it_is_as_far_as_it_can_be_read(
    sent: dict[bytes, bytes], message_id: str, task_id: str
) -> None:
    assert TaskEntries().origin("1-0", sent) == Origin("1-0", message_id, task_id)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (b'{"name": "a", "name": "b"}', "'name' occurs twice"),
        (b'{"train": {"epochs": 3, "epochs": 30}}', "'epochs' occurs twice"),
        (b'{"train": {"rate": NaN}}', "not JSON"),
        ('{"name": "ä"}'.encode("latin-1"), "not UTF-8"),
        ('{"name": "a"}'.encode("utf-16"), "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "a JSON object"),
        (b"{", "not JSON"),
    ],
)
def test_a_job_that_could_be_read_in_two_ways_is_refused(text: bytes, word: str) -> None:
    with pytest.raises(LeptonError, match=word) as raised:
        parse_object(text)
    assert raised.value.code is ErrorCode.INVALID
