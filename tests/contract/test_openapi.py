"""The document that people read and clients are made from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lepton_core.http.problems import PROBLEM_MEDIA_TYPE
from lepton_core.jobs.spec import job_schema
from lepton_fixtures.applications import gateway_app, inference_app


@pytest.fixture(params=["gateway", "inference"])
async def document(request: pytest.FixtureRequest) -> dict[str, Any]:
    return (await gateway_app() if request.param == "gateway" else inference_app()).openapi()


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


async def test_every_route_and_parameter_says_what_it_is(document: dict[str, Any]) -> None:
    silent = [
        f"{where} {parameter['name']}"
        for where, operation in operations(document)
        for parameter in operation.get("parameters", [])
        if not parameter.get("description")
    ]
    assert silent == []
    assert [where for where, operation in operations(document) if not operation.get("summary")] == []


async def test_every_route_tells_what_a_fault_looks_like(document: dict[str, Any]) -> None:
    for where, operation in operations(document):
        for status in ("4XX", "default"):
            assert list(operation["responses"][status]["content"]) == [PROBLEM_MEDIA_TYPE], where


async def test_linters_find_what_they_want(document: dict[str, Any]) -> None:
    """What the recommended rules of redocly and spectral ask for."""
    assert document["servers"]
    assert {"contact", "license", "description"} <= set(document["info"])
    for where, operation in operations(document):
        assert operation["description"], where
        assert operation["operationId"], where


async def test_every_answer_has_a_schema(document: dict[str, Any]) -> None:
    for where, operation in operations(document):
        for status, response in operation["responses"].items():
            assert all(content.get("schema") for content in response.get("content", {}).values()), (where, status)


async def test_every_group_is_described(document: dict[str, Any]) -> None:
    used = {tag for _, operation in operations(document) for tag in operation["tags"]}
    assert used == {tag["name"] for tag in document["tags"]}
    assert all(tag["description"] for tag in document["tags"])


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in references(document):
        found: Any = document
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]


async def test_the_body_of_a_job_is_the_job_file_with_an_example() -> None:
    document = (await gateway_app()).openapi()
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/JobSpec"}
    job = document["components"]["schemas"]["JobSpec"]
    assert set(job["properties"]) == set(job_schema()["properties"])
    assert job["examples"][0]["recipe"] == "vision.classifier"
    assert document["components"]["schemas"]["ResourceSpec"]["properties"]["ranks"]["description"]


def lists(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if node.get("type") == "array":
            yield node
        for value in node.values():
            yield from lists(value)
    elif isinstance(node, list):
        for value in node:
            yield from lists(value)


async def test_every_list_says_of_what_it_is(document: dict[str, Any]) -> None:
    """Generators of clients leave out whatever holds one that does not."""
    assert [each for each in lists(document) if "items" not in each and "prefixItems" not in each] == []


def test_an_inference_has_types() -> None:
    document = inference_app().openapi()
    infer = document["paths"]["/v2/models/{name}/infer"]["post"]
    sent = infer["requestBody"]["content"]["application/json"]["schema"]
    answered = infer["responses"]["200"]["content"]["application/json"]["schema"]
    schemas = document["components"]["schemas"]
    assert schemas[sent["$ref"].rpartition("/")[2]]["required"] == ["inputs"]
    assert "outputs" in schemas[answered["$ref"].rpartition("/")[2]]["required"]
    assert "FP32" in schemas["Datatype"]["enum"]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)
