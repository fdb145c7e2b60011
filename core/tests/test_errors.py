"""The one error table, walked both ways."""

import json
import pickle
from typing import Any

import grpc
import pytest

from lepton_core.errors import (
    ERROR_TABLE,
    Cause,
    ErrorCode,
    FieldError,
    LeptonError,
    code_for_grpc,
    code_for_http,
    invalid,
    shown,
)
from lepton_core.grpc.errors import error_message, error_of
from lepton_core.http.problems import error_from_problem, problem_of
from lepton_proto.v1 import errors_pb2


def test_every_code_has_a_row_and_statuses_that_exist() -> None:
    assert set(ERROR_TABLE) == set(ErrorCode)
    for code, row in ERROR_TABLE.items():
        assert row.code is code
        assert grpc.StatusCode[row.grpc_status] is not grpc.StatusCode.OK
        assert 400 <= row.http_status < 600
        assert row.title


@pytest.mark.parametrize("code", list(ErrorCode))
def test_a_bare_status_comes_back_to_a_code_of_the_same_status(code: ErrorCode) -> None:
    """Without our own details (a proxy's answer) the code may be a sibling, but both statuses still agree."""
    row = ERROR_TABLE[code]
    assert ERROR_TABLE[code_for_grpc(row.grpc_status)].grpc_status == row.grpc_status
    assert ERROR_TABLE[code_for_http(row.http_status)].http_status == row.http_status


@pytest.mark.parametrize("status", [status.name for status in grpc.StatusCode if status is not grpc.StatusCode.OK])
def test_every_grpc_status_is_read(status: str) -> None:
    known = {row.grpc_status for row in ERROR_TABLE.values()}
    assert ERROR_TABLE[code_for_grpc(status)].grpc_status == (status if status in known else "INTERNAL")


@pytest.mark.parametrize("status", range(400, 600))
def test_every_http_status_is_read_as_the_right_side_s_fault(status: int) -> None:
    assert ERROR_TABLE[code_for_http(status)].http_status // 100 == status // 100 or status in (405, 408)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_both_transports_carry_the_exact_code(code: ErrorCode) -> None:
    error = LeptonError(code, "why", [FieldError("f", "m", "v", "a")])
    problem = problem_of(error, "r")
    read = error_from_problem(int(problem["status"]), json.dumps(problem).encode())
    assert (read.code, read.detail, read.fields) == (code, error.message, error.fields)
    message = errors_pb2.Error(code=code.value)
    assert ErrorCode(errors_pb2.Error.FromString(message.SerializeToString()).code) is code


def test_an_error_crosses_processes() -> None:
    error = invalid("train.epochs", "must be positive", -1, "at least 1")
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.code, copy.detail, copy.fields) == (error.code, error.detail, error.fields)
    assert str(copy) == str(error) == "train.epochs: must be positive (got -1); allowed: at least 1"


def test_a_field_has_its_path_in_parts() -> None:
    assert invalid("recipe", "unknown").fields[0].field_path == ("recipe",)
    place = invalid(("train", "layers", 0, "size: cm"), "unknown").fields[0]
    assert (place.field, place.field_path) == ("train.layers[0].size: cm", ("train", "layers", "0", "size: cm"))


def test_an_error_as_text_says_what_is_allowed_once() -> None:
    assert str(LeptonError(ErrorCode.INVALID, "a: no; allowed: b", [FieldError("a", "no", "", "b")])).count("b") == 1
    assert str(LeptonError(ErrorCode.NOT_FOUND, "gone")) == "gone"


def test_of_many_wrong_fields_the_first_ones_are_shown() -> None:
    several = LeptonError(ErrorCode.INVALID, "f0: wrong", [FieldError(f"f{i}", "wrong", str(i)) for i in range(14)])
    lines = str(several).splitlines()
    assert (lines[0], lines[1], lines[-1]) == ("14 fields are wrong", "  f0: wrong (got 0)", "  and 4 more")
    alike = LeptonError(ErrorCode.INVALID, "x", [FieldError("files", "not allowed", str(i), "a") for i in range(20)])
    assert str(alike).splitlines() == ["x", "  files: not allowed (got 0, 1, 2, 3, 4, …); allowed: a"]


def test_what_retrying_may_mend() -> None:
    retryable = {code for code in ErrorCode if ERROR_TABLE[code].retryable}
    assert retryable == {ErrorCode.RATE_LIMITED, ErrorCode.OVER_QUOTA, ErrorCode.UNAVAILABLE, ErrorCode.TIMEOUT}


@pytest.mark.parametrize("value", ["x" * 10_000_000, {"a": "y" * 1000}, object(), float("nan"), b"\xff", [[]] * 999])
def test_a_refused_value_is_shown_short(value: object) -> None:
    assert 0 < len(shown(value)) <= 200


def test_only_the_shown_part_of_a_value_is_encoded() -> None:
    class Counted(dict[str, int]):
        read = 0

        def items(self) -> Any:
            for at in range(1_000_000):
                Counted.read += 1
                yield f"key{at}", at

    assert len(shown(Counted(a=1))) <= 200
    assert Counted.read < 200


def test_both_transports_and_pickle_carry_the_cause() -> None:
    cause = Cause("not_enough_ranks", {"needed": 3, "most": 2}, "it needs 3 ranks")
    error = LeptonError(ErrorCode.FAILED_PRECONDITION, "why", cause=cause)
    problem = problem_of(error, "r")
    assert error_from_problem(int(problem["status"]), json.dumps(problem).encode()).cause == cause
    assert error_of(errors_pb2.Error.FromString(error_message(error).SerializeToString())).cause == cause
    assert pickle.loads(pickle.dumps(error)).cause == cause
    assert "cause" not in problem_of(LeptonError(ErrorCode.INTERNAL, "why"), "r")


def test_parameters_that_are_no_object_and_a_cause_too_long_for_a_header_are_left_out() -> None:
    with pytest.raises(ValueError, match="not a JSON object"):
        error_of(errors_pb2.Error(code="internal", cause=errors_pb2.Cause(code="x", parameters_json="[1]")))
    long = LeptonError(ErrorCode.INTERNAL, "why", cause=Cause("x", {"text": "y" * 2000}))
    assert not error_message(long).HasField("cause")
