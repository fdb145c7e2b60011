"""What OpenAPI should say and FastAPI cannot know: which routes take a key, what a fault looks like,
and what the parameters are that many routes have in common."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

from lepton_core.http.problems import PROBLEM_MEDIA_TYPE
from lepton_core.identity.policies import POLICIES, Policy

SECURITY_SCHEME = "api_key"


class DocumentedApp(FastAPI):
    """Its OpenAPI document tells of each route what the policy table says: documentation pages then ask for a key."""

    policies: Mapping[str, Policy] = POLICIES
    # What a parameter is, by its name: said once, for all the routes that do not say it themselves.
    parameter_texts: Mapping[str, str] = {}

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is not None:
            return self.openapi_schema
        document = super().openapi()
        document.setdefault("components", {})["securitySchemes"] = {
            SECURITY_SCHEME: {"type": "http", "scheme": "bearer", "description": "An API key: `lpk_…`."}
        }
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
        return document


def _as_problem(response: dict[str, Any]) -> None:
    content = response.get("content", {})
    if "application/json" in content:
        content[PROBLEM_MEDIA_TYPE] = content.pop("application/json")
