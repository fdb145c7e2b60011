"""An HTTP service behind a real server, and a client for it: the tests of `lepton_core.http` share them."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import uvicorn
from fastapi import FastAPI, Header, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict

from core.tests.known_key import KEY, KEY_ID, authenticator_for
from lepton_core.errors import ErrorCode, FieldError, LeptonError
from lepton_core.http.app import build_app
from lepton_core.identity import (
    PUBLIC,
    Policy,
    Principal,
    PrincipalKind,
    Role,
    current_principal,
)

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


def make_app(**options: Any) -> FastAPI:
    authenticator = options.pop("authenticator", authenticator_for(BOB))
    app = build_app("test", authenticator, policies=POLICIES, **{"max_body_bytes": 1000, **options})

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
    async def stop(name: str, reason: Annotated[str, Header()]) -> str:
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


def exchange(port: int, head: bytes, body: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head + body)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer
