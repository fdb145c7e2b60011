"""What the faults of an HTTP service look like, and how a client reads them."""

import json

import pytest

from core.tests.http_service import client, problem
from lepton_core.errors import Cause, ErrorCode, FieldError, LeptonError
from lepton_core.http.app import Problem
from lepton_core.http.problems import error_from_problem, problem_of


async def test_unknown_paths_and_methods_are_problems() -> None:
    async with client("") as http:
        nowhere = problem(await http.get("/nowhere"), 404)
        assert (nowhere["code"], "/openapi.json" in nowhere["detail"]) == ("not_found", True)
        assert problem(await http.get("/things/a/../../etc/passwd%00"), 404)
        answer = await http.delete("/things/a")
        assert problem(answer, 405)["code"] == "unimplemented"
    assert answer.headers["allow"] == "GET, HEAD"
    assert "DELETE is not supported here; allowed: GET, HEAD" in answer.json()["detail"]


async def test_an_error_keeps_its_code_fields_and_retry_after() -> None:
    async with client() as http:
        answer = await http.get("/things/gone")
    body = problem(answer, 404)
    assert body["type"] == "urn:lepton:error:not_found"
    error = error_from_problem(answer.status_code, answer.content, answer.headers["retry-after"])
    assert (error.code, error.detail) == (ErrorCode.NOT_FOUND, "no such thing; allowed: one of a, b")
    assert error.fields == (FieldError("name", "no such thing", '"gone"', "one of a, b"),)
    assert error.retry_after_seconds == 2.0
    assert error.request_id == body["request_id"]


async def test_validation_names_the_field_the_value_and_what_it_may_have_meant() -> None:
    async with client() as http:
        body = problem(await http.post("/things", json={"name": 3, "train": {"lerning_rate": 1}}), 422)
        query = problem(await http.get("/things/a?limit=many"), 422)
        absent = problem(await http.post("/things", json={}), 422)
        header = problem(await http.post("/things/a:stop"), 422)
    assert [each["field"] for each in body["errors"]] == ["name", "train.lerning_rate"]
    assert [each["field_path"] for each in body["errors"]] == [["name"], ["train", "lerning_rate"]]
    assert [each.field_path for each in error_from_problem(422, json.dumps(body).encode()).fields] == [
        ("name",),
        ("train", "lerning_rate"),
    ]
    assert body["errors"][0]["value"] == "3"
    assert "did you mean 'learning_rate'" in body["errors"][1]["message"]
    assert query["errors"][0] | {"message": ""} == {
        "field": "limit",
        "message": "",
        "value": '"many"',
        "allowed": "a whole number",
        "field_path": ["limit"],
    }
    assert absent["errors"][0]["message"] == "required"
    assert header["detail"] == "reason: this header of the request is required"


def test_the_api_document_describes_all_members_of_a_problem() -> None:
    schema = Problem.model_json_schema()
    cause = Cause("no_worker", {"recipe": "tabular"}, "no worker")
    error = LeptonError(ErrorCode.INVALID, "x", [FieldError("f", "m")], cause=cause)
    sent = problem_of(error, "1")
    assert set(sent) == set(schema["properties"])
    assert set(sent["errors"][0]) == set(schema["$defs"]["ProblemField"]["properties"])


@pytest.mark.parametrize("body", [b"{", b"\xff\xfe", b"[" * 100_0, b"", b"nul"])
async def test_a_body_that_is_no_json(body: bytes) -> None:
    async with client() as http:
        problem(await http.post("/things", content=body, headers={"content-type": "application/json"}), 422)


async def test_the_error_for_a_body_of_another_type_names_the_missing_header() -> None:
    async with client() as http:
        sent = {"content": b"{}", "headers": {"content-type": "application/x-www-form-urlencoded"}}
        body = problem(await http.post("/things", **sent), 422)
    assert "content-type: application/json (got application/x-www-form-urlencoded)" in body["detail"]
    assert body["errors"][0]["field"] == "content-type"


async def test_a_crash_tells_nothing_but_its_request(caplog: pytest.LogCaptureFixture) -> None:
    async with client() as http:
        body = problem(await http.get("/crash"), 500)
    assert "hunter2" not in json.dumps(body)
    assert body["request_id"] in body["detail"]
    assert "hunter2" in caplog.text


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (502, b"<html>bad gateway</html>", ErrorCode.UNAVAILABLE),
        (404, b'{"code": "made_up", "errors": [], "detail": "", "request_id": ""}', ErrorCode.NOT_FOUND),
        (429, b"\xff", ErrorCode.RATE_LIMITED),
        (418, b"[]", ErrorCode.INVALID),
        (599, b"[" * 100_000, ErrorCode.INTERNAL),
    ],
)
def test_answers_of_others_are_read_by_their_status(status: int, body: bytes, code: ErrorCode) -> None:
    assert error_from_problem(status, body, "x").code is code
