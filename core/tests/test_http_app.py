"""What an HTTP service reads of a request, how much of it, and what it answers to HEAD."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from core.tests.http_service import client, exchange, make_app, problem, serving
from core.tests.known_key import KEY
from lepton_core.api.limits import MAX_REQUEST_BYTES


async def test_a_request_id_that_could_forge_a_log_line_is_replaced() -> None:
    async with client() as http:
        answer = await http.get("/things/a", headers={"x-request-id": "a b\tc" * 30})
    assert len(answer.headers["x-request-id"]) == 16


async def test_health_is_public_and_head_stands_under_get() -> None:
    async with client("") as http:
        assert (await http.get("/healthz")).json() == {"status": "ok"}
        assert (await http.head("/things/a")).status_code == 401


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


async def test_a_body_over_the_limit_by_its_length() -> None:
    async with client() as http:
        assert (await http.post("/raw", content=b"x" * 1000)).json() == 1000
        assert "1000 bytes" in problem(await http.post("/raw", content=b"x" * 1001), 413)["detail"]


async def test_only_routes_for_large_bodies_take_them() -> None:
    async with client(max_body_bytes=3 * MAX_REQUEST_BYTES, large_bodies={"POST /raw"}) as http:
        body = b" " * (MAX_REQUEST_BYTES + 1)
        assert (await http.post("/raw", content=body)).json() == len(body)
        json_type = {"content-type": "application/json"}
        refused = await http.post("/things", content=body, headers=json_type)
        assert f"{MAX_REQUEST_BYTES} bytes" in problem(refused, 413)["detail"]
        taken = await http.post(
            "/things", content=body[:-20] + b'{"name": "a"}', headers={"content-type": "application/json"}
        )
        assert taken.status_code == 200


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


async def test_half_an_answer_is_cut_and_not_ended_as_if_whole() -> None:
    async with client() as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get("/stream")
