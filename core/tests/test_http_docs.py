"""The page of the API's document: whole without the internet, and closed to whatever comes from elsewhere."""

import json
import re
from collections.abc import AsyncIterator
from urllib.parse import unquote

import httpx
import pytest
from starlette.types import ASGIApp, Message

from lepton_core.http.app import build_app
from lepton_core.http.docs import MEDIA_TYPES
from lepton_core.identity import TokenAuthenticator

NAMED = re.compile(r'(?:src|href)="([^"]+)"')


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    # Closed to everybody but for what is public; the host is that of another machine's browser.
    app = build_app("Things <b>", TokenAuthenticator())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://lab-7:8700/") as client:
        yield client


async def test_the_page_names_no_other_host(http: httpx.AsyncClient) -> None:
    page = await http.get("docs")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "//" not in page.text
    assert "<title>Things &lt;b&gt;" in page.text
    assert (await http.head("docs")).status_code == 200


async def test_every_asset_it_names_is_there_and_kept_for_good(http: httpx.AsyncClient) -> None:
    named = NAMED.findall((await http.get("docs")).text)
    assert {address.partition("?")[0] for address in named} == {f"docs/assets/{file}" for file in MEDIA_TYPES}
    for address in named:
        asset = await http.get(address)
        file = address.partition("?")[0].rpartition("/")[2]
        assert asset.status_code == 200, address
        assert asset.headers["content-type"].partition(";")[0] == MEDIA_TYPES[file]
        assert asset.headers["x-content-type-options"] == "nosniff"
        assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert asset.content


@pytest.mark.parametrize("query", ["", "?v=", "?v=0123456789abcdef"])
async def test_another_version_of_an_asset_is_not_kept(http: httpx.AsyncClient, query: str) -> None:
    assert (await http.get(f"docs/assets/start.js{query}")).headers["cache-control"] == "no-cache"


async def test_nothing_from_elsewhere_can_load(http: httpx.AsyncClient) -> None:
    rules = dict(
        rule.strip().split(" ", 1) for rule in (await http.get("docs")).headers["content-security-policy"].split(";")
    )
    assert rules["default-src"] == "'none'"
    assert {source for sources in rules.values() for source in sources.split()} == {"'none'", "'self'", "data:"}
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    # A policy without inline scripts: the page holds none.
    assert not re.search(r"<script>|<style|\son\w+=|\sstyle=", (await http.get("docs")).text)


async def test_the_page_reads_the_document_of_this_server_and_asks_no_validator(http: httpx.AsyncClient) -> None:
    start = (await http.get("docs/assets/start.js")).text
    assert '"openapi.json"' in start
    assert "validatorUrl: null" in start
    document = (await http.get("openapi.json")).json()
    assert document["components"]["securitySchemes"]["api_key"]["scheme"] == "bearer"


@pytest.mark.parametrize(
    "path",
    [
        "/docs/assets/core.py",
        "/docs/assets/redoc.standalone.js",
        "/docs/assets/..",
        "/docs/assets/../core.py",
        "/docs/assets/..%2fcore.py",
        "/docs/assets/%2e%2e%2f%2e%2e%2fcore.py",
        "/docs/assets/..%5ccore.py",
        "/docs/assets/start.js%00",
        "/docs/assets//etc/passwd",
        "/docs/assets/%2fetc%2fpasswd",
        "/docs/assets/",
    ],
)
async def test_no_other_file_is_reached(path: str) -> None:
    status, body = await raw_get(build_app("things", TokenAuthenticator()), path)
    assert status == 404
    assert json.loads(body)["code"] == "not_found"


async def raw_get(app: ASGIApp, path: str) -> tuple[int, bytes]:
    """The path as a hostile client sends it and a server decodes it: HTTP clients would tidy it first."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"x")]
    scope = {"type": "http", "method": "GET", "path": unquote(path), "query_string": b"", "headers": headers}
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message["body"] for message in sent[1:])
