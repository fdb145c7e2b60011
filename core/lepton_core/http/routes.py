"""Finds the route template of a request, by the same patterns and in the same order as Starlette's router.

Starlette sets `scope["route"]` only when the route runs. That is too late for the guard, which checks who may call the
route before the request reaches the app.
"""

import re
from collections.abc import Iterable
from typing import Any

from starlette.routing import compile_path


class RouteIndex:
    """`routes` are (method, path) with Starlette's path syntax, in the order in which they are tried."""

    def __init__(self, routes: Iterable[tuple[str, str]]) -> None:
        self._patterns: list[tuple[str, re.Pattern[str], str]] = []
        for method, path in routes:
            pattern, template, _ = compile_path(path)
            self._patterns.append((method, pattern, f"{method} {template}"))
        # A path without parameters is found by one look-up, with the same result as trying the routes in order.
        self._fixed = {
            (method, path): self._walk(method, path)
            for method, _, key in self._patterns
            if "{" not in (path := key.partition(" ")[2])
        }

    @property
    def methods(self) -> list[str]:
        """The keys of the policy table that these routes need."""
        return list(dict.fromkeys(key for _, _, key in self._patterns))

    def find(self, method: str, path: str) -> str | None:
        """The policy key of the route that the router will choose. HEAD uses the row of GET."""
        if method == "HEAD":
            method = "GET"
        found = self._fixed.get((method, path))
        return found or self._walk(method, path)

    def allowed(self, path: str) -> list[str]:
        """The methods that a path supports, with HEAD wherever GET is supported."""
        found = {method for method, pattern, _ in self._patterns if pattern.match(path)}
        return sorted(found | {"HEAD"} if "GET" in found else found)

    def _walk(self, method: str, path: str) -> str | None:
        for each, pattern, key in self._patterns:
            if each == method and pattern.match(path):
                return key
        return None


def routes_of(app: Any) -> list[tuple[str, str]]:
    """(method, path) of every route of a FastAPI app. Other kinds (a mount) cannot have a row and are refused."""
    from fastapi.routing import iter_route_contexts

    found: list[tuple[str, str]] = []
    for route in iter_route_contexts(app.routes):
        if route.methods is None or route.path is None:
            raise TypeError(f"{route.path or route} is not a route with methods: the policy table cannot name it")
        found += [(method, route.path) for method in sorted(route.methods) if method != "HEAD"]
    return found
