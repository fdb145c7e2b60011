"""Ids, labels, digests and references, with what hostile callers send."""

import time

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import (
    Reference,
    check_digest,
    check_id,
    check_label,
    digest_of,
    id_range,
    is_id,
    is_ulid,
    new_id,
    new_ulid,
    parse_reference,
)

ZERO = "sha256:" + "0" * 64


def test_ids_are_unique_well_formed_and_sort_by_time() -> None:
    assert len({new_id("run") for _ in range(10_000)}) == 10_000
    first = new_ulid()
    deadline = time.monotonic() + 5
    while (later := new_ulid())[:10] == first[:10]:
        assert time.monotonic() < deadline
    assert first < later
    assert is_ulid(first)
    assert len(first) == 26


@pytest.mark.parametrize("value", ["", "run_", "att_" + "0" * 26, "run_" + "8" * 26, "run_" + "0" * 25 + "\n", "RUN_x"])
def test_what_is_no_id_of_a_run(value: str) -> None:
    assert not is_id(value, "run")
    with pytest.raises(LeptonError, match="run_id: not an id"):
        check_id(value, "run", "run_id")


def test_the_range_of_ids_with_a_beginning() -> None:
    id = new_id("run")
    for length in range(31):
        ends = id_range(id[:length], "run")
        assert ends is not None
        assert ends[0] <= id <= ends[1]
        assert len(ends[0]) == len(ends[1]) == len(id)
    assert id_range("run_01", "run") == ("run_01" + "0" * 24, "run_01" + "Z" * 24)
    for other in (id + "0", "run_8", "run_01l", "run_0%", "key_0", "x", "run_01\n"):
        assert id_range(other, "run") is None


@pytest.mark.parametrize("value", ["a", "digits", "A.b-c_9", "0", "a" * 128])
def test_labels(value: str) -> None:
    assert check_label(value, "name") == value


@pytest.mark.parametrize(
    "value", ["", ".", "..", "-a", "_a", "a/b", "a\\b", "a b", "ä", "a\n", "a\x00", "../a", "a" * 129, "a@b"]
)
def test_what_is_no_label(value: str) -> None:
    with pytest.raises(LeptonError) as caught:
        check_label(value, "name")
    error = caught.value
    assert error.code is ErrorCode.INVALID
    assert error.fields[0].field == "name"
    assert "letters" in error.fields[0].allowed


def test_digests() -> None:
    assert check_digest(digest_of(b""), "digest").startswith("sha256:e3b0c442")
    for bad in ("", "sha256:", ZERO + "0", ZERO.upper(), "md5:" + "0" * 32, ZERO + "\n", ZERO[:-1] + "g"):
        with pytest.raises(LeptonError):
            check_digest(bad, "digest")


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("digits", Reference("digits", alias="latest")),
        ("digits@latest", Reference("digits", alias="latest")),
        ("digits@3", Reference("digits", version=3)),
        ("digits@champion", Reference("digits", alias="champion")),
        (f"digits@{ZERO}", Reference("digits", digest=ZERO)),
    ],
)
def test_references(text: str, reference: Reference) -> None:
    assert parse_reference(text, "data") == reference
    assert parse_reference(str(reference), "data") == reference


@pytest.mark.parametrize(
    "text", ["", "@", "@3", "a@", "a@0", "a@-1", "a@@b", "a@b@c", "a@sha256:x", "../a@1", "a@" + "9" * 10**6]
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(LeptonError, match="data: "):
        parse_reference(text, "data")
