"""Values that no program expects, in every field of every route: refused or taken, and never a fault of ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from lepton_fixtures.archives import zipped
from lepton_fixtures.callers import Caller, key
from lepton_fixtures.databases import postgres_database
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import wait_until

METHODS = ("get", "post", "put", "patch", "delete")
# As text of JSON, so that what Python would not write can be sent too.
VALUES = {
    "zero character": r'"a\u0000b"',
    "half a character": r'"\ud800"',
    "line ends": r'"a\r\nb: c"',
    "long": '"' + "x" * 100_000 + '"',
    "empty": '""',
    "number": "7",
    "huge number": "9" * 400,
    "negative": "-1",
    "beyond 64 bits": str(2**64),
    "fraction": "1e999",
    "null": "null",
    "list": "[[]]",
    "deep": "[" * 5000 + "]" * 5000,
    "object": '{"a": {"b": 1}}',
    "digest": f'"sha256:{"0" * 64}"',
    "path": '"../../etc/passwd"',
}
IN_PATHS = [
    "\0",
    "a\0b",
    "..",
    "%2e%2e%2f",
    "x" * 5000,
    "'; DROP TABLE runs; --",
    "\u202e",
    "run_",
    "name@",
    "@",
    "a@-1",
]
IN_PATHS += [
    "name@99999999999999999999",
    f"name@sha256:{'0' * 63}",
    "run_01M7YPBPNPR4N22T40F16JN204",
    "pred_x_y",
    "code:",
]
IN_QUERIES = ["", "\0", "-1", "0", "9" * 30, "1e5", "x" * 5000, "'", "[]", "%", "\u0661", "true"]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory, postgres_folder: Any) -> Iterator[RunningPlatform]:
    """On PostgreSQL, which takes less than SQLite does."""
    with postgres_database(postgres_folder) as url:
        running = RunningPlatform(
            tmp_path_factory.mktemp("strict") / "home",
            {"LEPTON_LOCAL_DATABASE_URL": url, "LEPTON_INFERENCE_KEY_CACHE_SECONDS": "1"},
        )
        yield running
        running.stop()


@pytest.fixture(scope="module")
def caller(strict: RunningPlatform) -> Iterator[Caller]:
    caller = Caller(strict, key(strict.api_key))
    yield caller
    caller.close()


@pytest.fixture(params=["gateway", "inference"])
def api(request: pytest.FixtureRequest, caller: Caller) -> tuple[httpx.Client, dict[str, Any]]:
    client: httpx.Client = getattr(caller, request.param)
    return client, client.get("/openapi.json").json()


def operations(api: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            # Streams go on for ever once they begin.
            if method in METHODS and not path.endswith("/stream"):
                yield method, path, operation


def parameters(operation: dict[str, Any], place: str) -> list[str]:
    return [each["name"] for each in operation.get("parameters", []) if each["in"] == place]


def filled(path: str, value: str) -> str:
    while "{" in path:
        before, _, rest = path.partition("{")
        path = before + quote(value, safe="") + rest.partition("}")[2]
    return path


def checked(answer: httpx.Response, faults: list[str]) -> None:
    """Notes what is no clear answer."""
    call = f"{answer.request.method} {str(answer.request.url)[-150:]} {answer.request.content[:150]!r}"
    if answer.status_code >= 500:
        faults.append(f"{call}: {answer.status_code} {answer.text[:300]}")
    elif answer.status_code >= 400 and answer.headers.get("content-type") != "application/problem+json":
        faults.append(f"{call}: {answer.status_code} without a problem document")


def test_in_paths(api: tuple[httpx.Client, dict[str, Any]]) -> None:
    client, described = api
    faults: list[str] = []
    for method, path, _ in operations(described):
        for value in IN_PATHS if "{" in path else []:
            checked(client.request(method, filled(path, value), headers={"idempotency-key": "a"}), faults)
    assert faults == []


def test_in_queries_and_headers(api: tuple[httpx.Client, dict[str, Any]]) -> None:
    client, described = api
    faults: list[str] = []
    for method, path, operation in operations(described):
        for name in parameters(operation, "query"):
            for value in IN_QUERIES:
                checked(client.request(method, filled(path, "x"), params={name: value}), faults)
        for name in (*parameters(operation, "header"), "x-request-id", "content-type", "last-event-id"):
            for raw in (b"", b"\xff", b"x" * 5000, b"%00", b"\x80\x81"):
                checked(client.request(method, filled(path, "x"), headers=[(name.encode(), raw)]), faults)
    assert faults == []


@pytest.mark.parametrize("kind", VALUES)
def test_in_bodies(api: tuple[httpx.Client, dict[str, Any]], kind: str) -> None:
    client, described = api
    faults: list[str] = []
    for method, path, operation in operations(described):
        schema = body_schema(operation, described)
        if schema is None:
            continue
        for body in bodies(schema, VALUES[kind]):
            headers = {"content-type": "application/json", "idempotency-key": "hostile"}
            checked(client.request(method, filled(path, "x"), content=body.encode(), headers=headers), faults)
    assert faults == []


def body_schema(operation: dict[str, Any], described: dict[str, Any]) -> dict[str, Any] | None:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    return resolved(content["schema"], described) if content else None


def resolved(schema: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        # The format of a job brings its own definitions, which stand beside the others nowhere.
        schema = described.get("components", {}).get("schemas", {}).get(name, {"type": "object"})
    return schema


SOUND = {"string": '"x"', "integer": "1", "number": "1", "boolean": "true", "array": "[]", "object": "{}"}


def bodies(schema: dict[str, Any], value: str) -> Iterator[str]:
    """The value itself, in each field alone with the others sound, and within each list and object."""
    yield value
    fields = schema.get("properties", {})
    sound = {name: SOUND.get(each.get("type", "string"), '"x"') for name, each in fields.items()}
    for name in fields:
        for hostile in (value, f"[{value}]", '{"a": ' + value + "}", "{" + as_key(value) + ': "x"}'):
            yield written({**sound, name: hostile})
    yield written({**sound, "unknown": value})


def as_key(value: str) -> str:
    return value if value.startswith('"') else json.dumps(value[:100])


def written(fields: dict[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in fields.items()) + "}"


# What a job may hold is checked by more than its format: each place alone, in a job that is sound otherwise.
PLACES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "train": lambda v: {"train": {"target": "kind", "more": v}},
    "target": lambda v: {"train": {"target": v}},
    "ignored columns": lambda v: {"train": {"target": "kind", "ignore": [v]}},
    "label": lambda v: {"labels": {"a": v}},
    "argument": lambda v: {"recipe": "", "script": {"entry": "a.py", "args": [v], "code": f"sha256:{'0' * 64}"}},
    "entry": lambda v: {"recipe": "", "script": {"entry": v, "code": f"sha256:{'0' * 64}"}},
    "data": lambda v: {"data": v},
    "recipe": lambda v: {"recipe": v},
    "model": lambda v: {"register": {"model": v}},
    "alias": lambda v: {"register": {"model": "m", "alias": v}},
}


@pytest.mark.parametrize("place", PLACES)
def test_in_jobs(caller: Caller, place: str) -> None:
    faults: list[str] = []
    for index, value in enumerate(VALUES.values()):
        marked = PLACES[place]("@@")
        job = {"name": "x", "recipe": "tabular", "data": "none", "train": {"target": "kind"}, **marked}
        body = json.dumps({name: each for name, each in job.items() if each != ""}).replace('"@@"', value)
        headers = {"content-type": "application/json", "idempotency-key": f"{place}-{index}"}
        answer = caller.gateway.post("/v1/jobs", content=body.encode(), headers=headers)
        checked(answer, faults)
        assert answer.status_code in (422, 409), answer.text
    assert faults == []


def test_what_is_said_of_a_version_may_hold_anything(caller: Caller) -> None:
    """Free text: taken as it is where the database can hold it, refused where it cannot."""
    for index, message in enumerate(["\0", "a\0b", "\u202e", "ü" * 999, "\U0001f600"]):
        archive = zipped({"a.txt": str(index).encode()})
        answer = caller.gateway.post(
            "/v1/datasets/said/versions",
            params={"message": message},
            content=archive.content,
            headers=archive.headers,
        )
        assert answer.status_code in (201, 422), answer.text


def test_what_a_program_prints_may_hold_anything(caller: Caller) -> None:
    """The end of its log is a parameter of the cause of its failure."""
    program = b"import sys\nsys.stdout.buffer.write(b'begin \\0 \\xff \\xed\\xa0\\x80 end\\n')\nsys.exit(3)\n"
    archive = zipped({"print.py": program})
    code = caller.gateway.post("/v1/code", content=archive.content, headers=archive.headers).json()["code"]
    job = {"name": "prints", "script": {"entry": "print.py", "code": code}, "retries": 0}
    run = caller.gateway.post("/v1/jobs", json=job, headers={"idempotency-key": "prints"}).json()
    path = f"/v1/runs/{run['id']}"
    wait_until(lambda: caller.gateway.get(path).json()["state"] == "failed", 90, "the run to fail")
    ended = caller.gateway.get(path).json()
    assert "exit code 3" in ended["reason"]
    assert "begin" in ended["cause"]["parameters"]["log_tail"][-1]
    assert ended["attempts"] == 1
