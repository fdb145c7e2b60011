"""Paths, addresses and patience."""

from __future__ import annotations

import time

import httpx
import pytest

from lepton.transport.http import Transport, is_local, part, problem
from lepton.transport.login import Login
from lepton_core.errors import ErrorCode, FieldError, LeptonError
from lepton_core.http.problems import problem_of


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("digits@champion", "digits@champion"),
        ("a/../b?x#y", "a%2F..%2Fb%3Fx%23y"),
        ("code:sha256:0f", "code:sha256:0f"),
    ],
)
def test_a_name_stays_one_part_of_the_path(value: str, expected: str) -> None:
    assert part(value, "name") == expected


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_name_that_would_change_the_path_is_refused(value: str) -> None:
    with pytest.raises(LeptonError) as raised:
        part(value, "name")
    assert raised.value.fields[0].field == "name"


@pytest.mark.parametrize(
    ("url", "local"),
    [("http://127.0.0.1:1", True), ("http://localhost", True), ("http://[::1]:8", True), ("https://lepton.dev", False)],
)
def test_what_lies_on_this_machine(url: str, local: bool) -> None:
    assert is_local(url) is local


def test_problem_details_become_the_error_they_were() -> None:
    error = LeptonError(ErrorCode.INVALID, "train.x: bad", [FieldError("train.x", "bad", "1", "2")])
    answer = httpx.Response(422, json=problem_of(error, "r1"), headers={"retry-after": "3"})
    found = problem(answer)
    assert (found.code, found.fields, found.request_id) == (ErrorCode.INVALID, error.fields, "r1")
    assert found.retry_after_seconds == 3


@pytest.mark.parametrize(("status", "code"), [(404, ErrorCode.NOT_FOUND), (502, ErrorCode.UNAVAILABLE)])
def test_somebody_elses_answer_is_read_by_its_status(status: int, code: ErrorCode) -> None:
    assert problem(httpx.Response(status, text="<html>nginx</html>")).code is code


def test_nobody_there_is_unavailable_after_the_patience_and_names_the_address() -> None:
    transport = Transport(Login("http://127.0.0.1:9", "lpk_secret"), retry_seconds=0.5)
    began = time.monotonic()
    with pytest.raises(LeptonError, match=r"http://127\.0\.0\.1:9 cannot be reached") as raised:
        transport.request("GET", "/v1/runs")
    transport.close()
    assert raised.value.code is ErrorCode.UNAVAILABLE
    assert 0.05 < time.monotonic() - began < 5


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"x"])
def test_what_json_cannot_say_is_refused_before_anything_is_sent(value: object) -> None:
    transport = Transport(Login("http://127.0.0.1:9", "lpk_secret"), retry_seconds=0)
    with pytest.raises(LeptonError) as raised:
        transport.request("POST", "/v1/deployments/d:predict", json_body={"row": {"age": value}})
    transport.close()
    assert raised.value.code is ErrorCode.INVALID
    assert "null (a missing value)" in raised.value.detail
