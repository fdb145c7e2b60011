"""Who is let in to an HTTP service, and in which order that is decided."""

import asyncio

import pytest
from fastapi import FastAPI

from core.tests.http_service import BOB, POLICIES, client, connected, exchange, make_app, problem, serving
from core.tests.known_key import GATEWAY, KEY, authenticator_for
from lepton_core.binding import is_loopback
from lepton_core.http.app import build_app, methods_of
from lepton_core.http.server import HttpServer
from lepton_core.identity import (
    Policy,
    Principal,
    PrincipalKind,
    Role,
    encode_acting,
)


async def test_a_key_is_let_in() -> None:
    async with client() as http:
        answer = await http.get("/things/a", headers={"x-request-id": "abc-9"})
    assert answer.json() == {"name": "a", "project": "prj_b", "kind": "key", "limit": 10}
    assert answer.headers["x-request-id"] == "abc-9"


@pytest.mark.parametrize(
    "token", ["", "nonsense", "lpk_x_y", KEY[:-2] + "zz"], ids=["none", "nonsense", "malformed", "another secret"]
)
async def test_no_credentials_no_answer(token: str) -> None:
    async with client(token) as http:
        body = problem(await http.get("/things/a"), 401)
        answer = await http.get("/things/a")
    assert body["code"] == "unauthenticated"
    assert answer.headers["www-authenticate"] == 'Bearer realm="lepton"'


async def test_of_two_credentials_neither_counts() -> None:
    headers = [("authorization", f"Bearer {KEY}"), ("authorization", f"Bearer {KEY}")]
    async with serving(make_app()) as port, connected(port, {}) as http:
        problem(await http.get("/things/a", headers=headers), 401)
        assert (await http.get("/things/a", headers=headers[:1])).status_code == 200


async def test_a_role_too_low_is_403_and_names_the_role() -> None:
    async with client() as http:
        assert (await http.post("/things/a:stop", headers={"reason": "x"})).status_code == 200
    demanding = {**POLICIES, "POST /things/{name}:stop": Policy(frozenset({"key"}), Role.EDITOR)}
    headers = {"authorization": f"Bearer {KEY}"}
    async with serving(make_app_with(demanding)) as port, connected(port, headers) as http:
        body = problem(await http.post("/things/a:stop"), 403)
    assert "'editor'" in body["detail"]


def make_app_with(policies: dict[str, Policy]) -> FastAPI:
    app = build_app("test", authenticator_for(BOB), policies=policies)

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


async def test_a_key_in_a_trailer_is_no_key() -> None:
    head = "POST /raw HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ntrailer: authorization\r\n\r\n"
    body = f"3\r\nabc\r\n0\r\nauthorization: Bearer {KEY}\r\n\r\n"
    server = HttpServer(make_app(), "127.0.0.1:0", drain_seconds=1)
    async with server.running():
        answer = await asyncio.to_thread(exchange, server.port, (head + body).encode(), b"")
    assert answer.startswith(b"HTTP/1.1 401")


async def test_no_body_is_read_from_a_stranger() -> None:
    head = f"POST /raw HTTP/1.1\r\nhost: x\r\ncontent-length: {2**31}\r\n\r\n"
    async with serving(make_app()) as port:
        answer = await asyncio.to_thread(exchange, port, head.encode(), b"y" * 100_000)
    assert answer.startswith(b"HTTP/1.1 401")


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
