"""An HTTP service behind a real server: who is let in, how much is read, and what every fault looks like."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

from lepton_core.binding import is_loopback
from lepton_core.errors import ErrorCode, FieldError, LeptonError
from lepton_core.http.app import build_app, methods_of
from lepton_core.http.problems import error_from_problem
from lepton_core.http.server import HttpServer
from lepton_core.identity import (
    PUBLIC,
    Policy,
    Principal,
    PrincipalKind,
    Role,
    TokenAuthenticator,
    current_principal,
    encode_acting,
    new_api_key,
    new_service_token,
    token_sha256,
)
from lepton_core.ids import new_id

KEY_ID = new_id("key")
KEY = new_api_key(KEY_ID)
GATEWAY = new_service_token("gateway")
BOB = Principal(PrincipalKind.KEY, KEY_ID, project="prj_b", role=Role.VIEWER)

VIEWERS = Policy(frozenset({"key", "gateway"}), Role.VIEWER)
POLICIES = {
    "GET /healthz": PUBLIC,
    "GET /things/{name}": VIEWERS,
    "GET /things/me": Policy(frozenset({"key"}), Role.ADMIN),
    "POST /things": VIEWERS,
    "POST /things/{name}:stop": VIEWERS,
    "POST /raw": VIEWERS,
    "GET /stream": VIEWERS,
    "GET /endless": VIEWERS,
    "DELETE /things/{name}/{part}": VIEWERS,
    "GET /crash": VIEWERS,
}


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    learning_rate: float = 0.1


class Thing(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    train: Inner = Inner()


async def verify(key_id: str, sha256: str) -> Principal:
    if key_id == KEY_ID and sha256 == token_sha256(KEY):
        return BOB
    raise LeptonError(ErrorCode.UNAUTHENTICATED, "no")


def make_app(**options: Any) -> FastAPI:
    authenticator = options.pop(
        "authenticator", TokenAuthenticator(service_tokens={"gateway": GATEWAY}, verify_key=verify)
    )
    app = build_app("test", authenticator, policies=POLICIES, max_body_bytes=1000, **options)

    @app.get("/things/{name}")
    async def get_thing(name: str, limit: int = 10) -> dict[str, Any]:
        caller = current_principal()
        if name == "gone":
            fields = [FieldError("name", "no such thing", '"gone"', "one of a, b")]
            raise LeptonError(ErrorCode.NOT_FOUND, "no such thing", fields, retry_after_seconds=2)
        return {"name": name, "project": caller.project, "kind": caller.kind, "limit": limit}

    @app.get("/things/me")
    async def shadowed() -> str:
        return "never reached: the route above matches first"

    @app.post("/things")
    async def post_thing(thing: Thing) -> Thing:
        return thing

    @app.post("/things/{name}:stop")
    async def stop(name: str) -> str:
        return name

    @app.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    add_streams(app)

    @app.delete("/things/{name}/{part}")
    async def delete_part(name: str, part: str) -> str:
        return name + part

    @app.get("/crash")
    async def crash() -> None:
        raise RuntimeError("password=hunter2")

    @app.get("/unlisted")
    async def unlisted() -> str:
        return "open"

    return app


def add_streams(app: FastAPI) -> None:
    @app.get("/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"half"
            raise LeptonError(ErrorCode.UNAVAILABLE, "lost")

        return StreamingResponse(parts())

    @app.get("/endless")
    async def endless() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            while True:
                yield b"more"
                await asyncio.sleep(0.01)

        return StreamingResponse(parts())


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            async with asyncio.timeout(10):
                while not server.started:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task


@asynccontextmanager
async def client(token: str = KEY, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with serving(make_app(**options)) as port, connected(port, headers) as http:
        yield http


def connected(port: int, headers: dict[str, str]) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, trust_env=False)


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert set(body) == {"type", "title", "status", "detail", "code", "errors", "request_id"}
    assert body["status"] == status
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


async def test_a_key_is_let_in() -> None:
    async with client() as http:
        answer = await http.get("/things/a", headers={"x-request-id": "abc-9"})
    assert answer.json() == {"name": "a", "project": "prj_b", "kind": "key", "limit": 10}
    assert answer.headers["x-request-id"] == "abc-9"


async def test_a_request_id_that_could_forge_a_log_line_is_replaced() -> None:
    async with client() as http:
        answer = await http.get("/things/a", headers={"x-request-id": "a b\tc" * 30})
    assert len(answer.headers["x-request-id"]) == 16


@pytest.mark.parametrize(
    "token", ["", "nonsense", "lpk_x_y", KEY[:-2] + "zz"], ids=["none", "nonsense", "malformed", "another secret"]
)
async def test_no_credentials_no_answer(token: str) -> None:
    async with client(token) as http:
        body = problem(await http.get("/things/a"), 401)
        answer = await http.get("/things/a")
    assert body["code"] == "unauthenticated"
    assert answer.headers["www-authenticate"] == 'Bearer realm="lepton"'


async def test_a_role_too_low_is_403_and_names_the_role() -> None:
    async with client() as http:
        assert (await http.post("/things/a:stop")).status_code == 200
    demanding = {**POLICIES, "POST /things/{name}:stop": Policy(frozenset({"key"}), Role.EDITOR)}
    headers = {"authorization": f"Bearer {KEY}"}
    async with serving(make_app_with(demanding)) as port, connected(port, headers) as http:
        body = problem(await http.post("/things/a:stop"), 403)
    assert "'editor'" in body["detail"]


def make_app_with(policies: dict[str, Policy]) -> FastAPI:
    app = build_app("test", TokenAuthenticator(verify_key=verify), policies=policies)

    @app.post("/things/{name}:stop")
    async def stop(name: str) -> str:
        return name

    return app


async def test_a_route_without_a_row_is_closed_and_listed() -> None:
    async with client() as http:
        problem(await http.get("/unlisted"), 403)
    assert [method for method in methods_of(make_app()) if method not in POLICIES] == [
        "GET /openapi.json",
        "GET /docs",
        "GET /docs/assets/{file}",
        "GET /readyz",
        "GET /unlisted",
    ]


async def test_the_row_is_that_of_the_route_which_answers() -> None:
    # GET /things/me is declared after GET /things/{name}: the router takes the first, and so must the guard.
    async with client() as http:
        assert (await http.get("/things/me")).json()["name"] == "me"


async def test_health_is_public_and_head_stands_under_get() -> None:
    async with client("") as http:
        assert (await http.get("/healthz")).json() == {"status": "ok"}
        assert (await http.head("/things/a")).status_code == 401


async def test_unknown_paths_and_methods_are_problems() -> None:
    async with client("") as http:
        assert problem(await http.get("/nowhere"), 404)["code"] == "not_found"
        assert problem(await http.get("/things/a/../../etc/passwd%00"), 404)
        answer = await http.delete("/things/a")
        assert problem(answer, 405)["code"] == "unimplemented"
    assert answer.headers["allow"] == "GET, HEAD"
    assert "DELETE is not supported here; allowed: GET, HEAD" in answer.json()["detail"]


async def test_head_is_get_without_the_body() -> None:
    async with client() as http:
        get, head = await http.get("/things/a"), await http.head("/things/a")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"]
        assert (await http.head("/healthz")).status_code == 200
        gone = await http.head("/things/gone")
        assert (gone.status_code, gone.content) == (404, b"")


async def test_head_of_an_endless_stream_ends() -> None:
    async with client() as http:
        async with asyncio.timeout(10):
            answer = await http.head("/endless")
        assert (answer.status_code, answer.content) == (200, b"")
        assert (await http.get("/things/a")).status_code == 200


async def test_what_a_route_would_not_read_is_refused_by_name() -> None:
    async with client() as http:
        body = problem(await http.get("/things/a?limti=3&key=x"), 422)
        named = problem(await http.request("DELETE", "/things/a/b", json={"name": "x"}), 422)
        problem(await http.request("GET", "/things/a", content=b"x"), 422)
        assert (await http.request("DELETE", "/things/a/b")).status_code == 200
        assert (await http.get("/healthz?nocache=1")).status_code == 200
    assert [each["field"] for each in body["errors"]] == ["key", "limti"]
    assert "did you mean 'limit'" in body["errors"][1]["message"]
    assert body["errors"][1]["allowed"] == "limit"
    assert named["errors"][0]["field"] == "body"


@pytest.mark.parametrize("hosts", ["", "host: a\r\nhost: b\r\n"], ids=["none", "two"])
async def test_a_request_needs_one_host(hosts: str) -> None:
    head = f"GET /things/a HTTP/1.1\r\n{hosts}authorization: Bearer {KEY}\r\nconnection: close\r\n\r\n"
    async with serving(make_app()) as port:
        answer = await asyncio.to_thread(exchange, port, head.encode(), b"")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"exactly one Host header" in answer


async def test_a_key_in_a_trailer_is_no_key() -> None:
    head = "POST /raw HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ntrailer: authorization\r\n\r\n"
    body = f"3\r\nabc\r\n0\r\nauthorization: Bearer {KEY}\r\n\r\n"
    server = HttpServer(make_app(), "127.0.0.1:0", drain_seconds=1)
    async with server.running():
        answer = await asyncio.to_thread(exchange, server.port, (head + body).encode(), b"")
    assert answer.startswith(b"HTTP/1.1 401")


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
    assert [each["field"] for each in body["errors"]] == ["name", "train.lerning_rate"]
    assert body["errors"][0]["value"] == "3"
    assert "did you mean 'learning_rate'" in body["errors"][1]["message"]
    assert query["errors"][0] | {"message": ""} == {
        "field": "limit",
        "message": "",
        "value": '"many"',
        "allowed": "a whole number",
    }
    assert absent["errors"][0]["message"] == "required"


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


async def test_a_body_over_the_limit_by_its_length() -> None:
    async with client() as http:
        assert (await http.post("/raw", content=b"x" * 1000)).json() == 1000
        assert "1000 bytes" in problem(await http.post("/raw", content=b"x" * 1001), 413)["detail"]


async def test_two_gibibytes_are_refused_without_being_read() -> None:
    head = f"POST /raw HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {2**31}\r\n\r\n"
    async with serving(make_app()) as port:
        answer = await asyncio.to_thread(exchange, port, head.encode(), b"")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer.lower()


async def test_a_chunked_body_over_the_limit_is_cut_off() -> None:
    def chunks() -> Iterator[bytes]:
        yield from (b"x" * 600 for _ in range(3))

    async def sent() -> AsyncIterator[bytes]:
        for chunk in chunks():
            yield chunk

    async with client() as http:
        problem(await http.post("/raw", content=sent()), 413)
        problem(await http.post("/things", content=sent(), headers={"content-type": "application/json"}), 413)


async def test_no_body_is_read_from_a_stranger() -> None:
    head = f"POST /raw HTTP/1.1\r\nhost: x\r\ncontent-length: {2**31}\r\n\r\n"
    async with serving(make_app()) as port:
        answer = await asyncio.to_thread(exchange, port, head.encode(), b"y" * 100_000)
    assert answer.startswith(b"HTTP/1.1 401")


def exchange(port: int, head: bytes, body: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head + body)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


async def test_half_an_answer_is_cut_and_not_ended_as_if_whole() -> None:
    async with client() as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get("/stream")


async def test_a_service_acts_for_somebody_and_a_key_cannot() -> None:
    other = Principal(PrincipalKind.KEY, "key_o", project="prj_o", role=Role.VIEWER)
    headers = {"x-lepton-acting": encode_acting(other)}
    async with client(GATEWAY) as http:
        assert (await http.get("/things/a", headers=headers)).json()["project"] == "prj_o"
        problem(await http.get("/things/a"), 403)
    async with client(KEY) as http:
        assert (await http.get("/things/a", headers=headers)).json()["project"] == "prj_b"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.8.8:80", "[::1]:80", "LOCALHOST:1"])
def test_this_machine_alone_reaches_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "[::]:80", "10.0.0.1:80", "example.org", "127.0.0.1.nip.io"])
def test_others_reach_everything_else(host: str) -> None:
    assert not is_loopback(host)


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
