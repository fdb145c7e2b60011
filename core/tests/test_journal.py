"""Journals survive being killed at any byte, and damage is told apart from a torn tail."""

from pathlib import Path

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.journal import JournalWriter, decode_record, encode_record, parse_records, read_chunk, read_records

RECORDS = [
    {"s": step, "t": 1_700_000_000_000_000 + step, "k": {"loss": 1 / (step + 1), "größe": 2.5}} for step in range(50)
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with JournalWriter(tmp_path / "journal" / "metrics-rank0.jsonl") as writer:
        for record in RECORDS:
            writer.append(record)
        assert writer.offset == sum(len(encode_record(record)) for record in RECORDS)
    return writer.path


def test_records_come_back_and_offsets_are_bytes(path: Path) -> None:
    records, end = read_records(path)
    assert records == RECORDS
    assert end == path.stat().st_size
    middle = len(encode_record(RECORDS[0])) + len(encode_record(RECORDS[1]))
    assert read_records(path, middle) == (RECORDS[2:], end)
    assert read_records(path, end) == ([], end)


def test_a_journal_cut_at_any_byte_is_read_up_to_its_last_whole_record(path: Path) -> None:
    whole = path.read_bytes()
    ends = [0]
    for record in RECORDS:
        ends.append(ends[-1] + len(encode_record(record)))
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        records, end = read_records(path)
        assert end == max(place for place in ends if place <= cut)
        assert records == RECORDS[: len(records)]


def test_a_writer_that_opens_it_again_cuts_off_the_torn_tail(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b'1234abcd {"s":50,"t":')
    with JournalWriter(path) as writer:
        writer.append({"s": 50})
    assert read_records(path)[0] == [*RECORDS, {"s": 50}]


def test_a_damaged_record_in_the_middle_is_an_error_not_an_end(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(LeptonError) as caught:
        read_records(path)
    assert caught.value.code is ErrorCode.CORRUPT
    with pytest.raises(LeptonError):
        parse_records(bytes(data))
    # Of a file that is open by its descriptor, the path is no name.
    with pytest.raises(LeptonError, match=r"^journal/metrics\.jsonl: the record at byte"):
        read_chunk(path, name="journal/metrics.jsonl")


def test_an_absent_journal_is_empty(tmp_path: Path) -> None:
    assert read_records(tmp_path / "none") == ([], 0)


@pytest.mark.parametrize("line", [b"", b"00000000 {}", b"zz", b"5f2b1c00[]", encode_record({"a": 1})[:-2]])
def test_what_is_no_record_is_not_taken_for_one(line: bytes) -> None:
    assert decode_record(line) is None


def test_records_that_json_cannot_carry_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        encode_record({"loss": float("nan")})
    with pytest.raises(ValueError, match="at most"):
        encode_record({"text": "x" * 300_000})
