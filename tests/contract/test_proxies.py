"""Traffic between the parts of a platform never goes through a proxy that the environment names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("core/lepton_core", "services", "deploy/local/lepton_local", "sdk/lepton")


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    """Calls of `<module>.<name>` in production code, with where each is."""
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            if "tests" in file.parts:
                continue
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name:
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", node


@pytest.mark.parametrize("name", ["Client", "AsyncClient"])
def test_every_http_client_says_whether_it_reads_the_environment(name: str) -> None:
    """Services do not; the SDK does for a platform on another machine."""
    found = [(where, call) for where, call in calls(name) if ast.unparse(call.func).startswith("httpx.")]
    assert found
    for where, call in found:
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        assert "trust_env" in given, where
        assert where.startswith("sdk/") or ast.unparse(given["trust_env"]) == "False", where


def test_every_grpc_channel_has_options_that_turn_the_proxy_off() -> None:
    found = list(calls("insecure_channel"))
    assert found
    for where, call in found:
        assert any(keyword.arg == "options" for keyword in call.keywords), where
