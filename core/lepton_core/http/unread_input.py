"""Refuses parameters and bodies that a route does not read. If they were ignored, they would seem to have worked."""

from collections.abc import Collection, Iterable

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from lepton_core.errors import ErrorCode, FieldError, LeptonError
from lepton_core.validation import MAX_FIELD_ERRORS, summary, unknown_name

# Methods whose requests have no content that anything defined by HTTP would read (RFC 9110, 9.3).
BODILESS_METHODS = frozenset({"GET", "HEAD", "DELETE"})


async def refuse_unread_input(request: Request) -> None:
    """For every route of a service: raises INVALID naming an unknown query parameter, or a body that nothing reads."""
    if request.method in BODILESS_METHODS and _has_body(request):
        message = f"a {request.method} request takes no body"
        raise LeptonError(ErrorCode.INVALID, message, [FieldError("body", message, "", "an empty body")])
    route = request.scope.get("route")
    # Many programs call health checks, and some add parameters to avoid caches.
    if not request.query_params or not isinstance(route, APIRoute) or not route.include_in_schema:
        return
    refuse_unknown_parameters(request.query_params, _query_names(route.dependant))


def refuse_unknown_parameters(parameters: Iterable[str], known: Collection[str]) -> None:
    """Raises INVALID with each of `parameters` that is not among the `known` ones."""
    unknown = sorted(set(parameters).difference(known))[:MAX_FIELD_ERRORS]
    if unknown:
        fields = [unknown_name(name[:128], name, known, "query parameter") for name in unknown]
        raise LeptonError(ErrorCode.INVALID, summary(fields), fields)


def _has_body(request: Request) -> bool:
    length = request.headers.get("content-length", "0")
    return length != "0" or "transfer-encoding" in request.headers


def _query_names(dependant: Dependant) -> set[str]:
    names = {field.alias for field in dependant.query_params}
    return names.union(*(_query_names(inner) for inner in dependant.dependencies))
