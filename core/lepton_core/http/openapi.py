"""Adds to FastAPI's OpenAPI document: which routes need a key, the form of errors, descriptions of the common
parameters, and the schemas of bodies that a route reads by hand."""

import copy
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from lepton_core.http.problems import PROBLEM_MEDIA_TYPE
from lepton_core.identity.policies import POLICIES, Policy
from lepton_core.request_context import REQUEST_ID_HEADER

SECURITY_SCHEME = "api_key"


# Said where a body may be of several types: without an optional parameter beside such a body, openapi-python-client
# (0.29) generates code that does not import.
REQUEST_ID_PARAMETER: dict[str, Any] = {
    "name": REQUEST_ID_HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "Yours, to find the request in the logs: at most 64 letters, digits, `.`, `_` and `-`.",
}


class DocumentedApp(FastAPI):
    """An app whose OpenAPI document marks the routes that need a key, according to the policy table."""

    policies: Mapping[str, Policy] = POLICIES
    # Parameter name → description, for all routes that have none of their own.
    parameter_texts: Mapping[str, str] = {}
    # JSON Schemas by name, for `reference`. Definitions within them become components too.
    body_schemas: Mapping[str, Mapping[str, Any]] = {}

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is not None:
            return self.openapi_schema
        document = super().openapi()
        document.setdefault("components", {})["securitySchemes"] = {
            SECURITY_SCHEME: {"type": "http", "scheme": "bearer", "description": "An API key: `lpk_…`."}
        }
        _add_schemas(document["components"].setdefault("schemas", {}), self.body_schemas)
        for path, operations in document.get("paths", {}).items():
            for method, operation in operations.items():
                policy = self.policies.get(f"{method.upper()} {path}")
                public = policy is not None and policy.public
                operation["security"] = [] if public else [{SECURITY_SCHEME: []}]
                for parameter in operation.get("parameters", []):
                    text = self.parameter_texts.get(parameter["name"])
                    if text:
                        parameter.setdefault("description", text)
                _as_problem(operation["responses"].get("default", {}))
                if "default" in operation["responses"]:
                    operation["responses"]["4XX"] = copy.deepcopy(operation["responses"]["default"])
                operation.setdefault("description", operation.get("summary", ""))
        return document


def reference(name: str) -> dict[str, str]:
    """A reference to a schema among the components, such as one of `body_schemas`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _add_schemas(components: dict[str, Any], schemas: Mapping[str, Mapping[str, Any]]) -> None:
    for name, schema in schemas.items():
        own = {key: value for key, value in schema.items() if key not in ("$defs", "$schema", "$id")}
        own["title"] = name  # generated clients name their classes by it
        for each, definition in (schema.get("$defs", {}) | {name: own}).items():
            components.setdefault(each, _referring_to_components(definition))


def _referring_to_components(node: Any) -> Any:
    if isinstance(node, list):
        return [_referring_to_components(each) for each in node]
    if not isinstance(node, dict):
        return node
    found = {key: _referring_to_components(value) for key, value in node.items()}
    if isinstance(found.get("$ref"), str):
        found["$ref"] = found["$ref"].replace("#/$defs/", "#/components/schemas/")
    return found


def _as_problem(response: dict[str, Any]) -> None:
    content = response.get("content", {})
    if "application/json" in content:
        content[PROBLEM_MEDIA_TYPE] = content.pop("application/json")
