"""Builds an HTTP service: FastAPI behind the guard, problem documents for every fault, /healthz."""

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from lepton_core.api.errors import FIELD_PATH, Cause
from lepton_core.api.limits import DEFAULT_MESSAGE_BYTES
from lepton_core.errors import ErrorCode, FieldError, LeptonError, code_for_http
from lepton_core.http.docs import add_docs
from lepton_core.http.guard import Guard, error_headers, problem_bytes
from lepton_core.http.openapi import DocumentedApp
from lepton_core.http.problems import PROBLEM_MEDIA_TYPE
from lepton_core.http.routes import RouteIndex, routes_of
from lepton_core.http.unread_input import refuse_unread_input
from lepton_core.identity.authenticators import Authenticator
from lepton_core.identity.policies import POLICIES, Policy
from lepton_core.validation import invalid_from, summary

if TYPE_CHECKING:
    from lepton_core.metrics import Metrics

# Parts of a request that FastAPI puts before a field's name; "query" and "path" name no field of the caller's.
_PLACES = ("body", "query", "path", "header", "cookie")


def build_app(
    title: str,
    authenticator: Authenticator,
    *,
    max_body_bytes: int = DEFAULT_MESSAGE_BYTES,
    large_bodies: Collection[str] | None = None,
    description: str = "",
    version: str = "1",
    ready: Callable[[], bool] | None = None,
    policies: Mapping[str, Policy] = POLICIES,
    metrics: "Metrics | None" = None,
) -> DocumentedApp:
    """`ready` decides /readyz; `metrics` counts every request and is shown at /metrics; `large_bodies`: see Guard."""
    app = DocumentedApp(
        title=title,
        description=description,
        version=version,
        # Where the document is: clients then call the server that they got it from.
        servers=[{"url": "/", "description": "This server"}],
        contact={"name": "Lepton"},
        license_info={"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        dependencies=[Depends(refuse_unread_input)],
        responses={"default": {"description": "A problem document (RFC 9457)", "model": Problem}},
    )
    app.policies = policies
    app.add_middleware(
        Guard,
        routes=lambda: RouteIndex(routes_of(app)),
        authenticator=authenticator,
        max_body_bytes=max_body_bytes,
        large_bodies=large_bodies,
        policies=policies,
        observe=metrics.observe if metrics else None,
    )
    app.add_exception_handler(LeptonError, _lepton_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(UnicodeEncodeError, _no_unicode)
    add_docs(app)
    if metrics is not None:
        _add_metrics(app, metrics)

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
        is_ready = ready is None or ready()
        return JSONResponse({"status": "ready" if is_ready else "not ready"}, 200 if is_ready else 503)

    return app


def _add_metrics(app: FastAPI, metrics: "Metrics") -> None:
    # A plain function: Starlette runs it in a thread, where sources may take their time.
    @app.get("/metrics", include_in_schema=False)
    def show_metrics() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


class ProblemField(BaseModel):
    """One field that is wrong."""

    field: str
    message: str
    value: str
    allowed: str
    field_path: list[str] = Field([], description=FIELD_PATH)


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: ErrorCode
    errors: list[ProblemField]
    request_id: str
    cause: Cause | None = Field(None, description="Present where a program can act on what failed.")


def methods_of(app: FastAPI) -> list[str]:
    """The policy keys of every route of an app, for the test that each has a row."""
    return RouteIndex(routes_of(app)).methods


def problem_response(error: LeptonError, *, status: int | None = None) -> Response:
    number, body = problem_bytes(error, status=status)
    response = Response(body, number, media_type=PROBLEM_MEDIA_TYPE)
    response.raw_headers.extend(error_headers(error))
    return response


async def _lepton_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, LeptonError)
    return problem_response(error)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [{**_of_header(each), "loc": _location(each["loc"])} for each in error.errors()]
    if any(each["type"] == "json_invalid" for each in found):
        problem = found[0].get("ctx", {}).get("error", "not JSON")
        return problem_response(LeptonError(ErrorCode.INVALID, f"the body is not JSON: {problem}"))
    if any(isinstance(each.get("input"), bytes) for each in found):
        # What curl sends with -d, unless it is given a type: FastAPI leaves a body of another type unread.
        sent = request.headers.get("content-type", "")
        unread = LeptonError(
            ErrorCode.INVALID,
            f"the body was not read as JSON: send the header content-type: application/json (got {sent or 'none'})",
            [FieldError("content-type", "the body is not read as JSON", sent, "application/json")],
        )
        return problem_response(unread)
    fields: list[FieldError] = list(invalid_from(found, _body_model(request)).fields)
    return problem_response(LeptonError(ErrorCode.INVALID, summary(fields), fields))


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    # FastAPI's own 400 is for a body that it could not read: to us that is an invalid request like any other.
    status = None if error.status_code == 400 else error.status_code
    response = problem_response(LeptonError(code_for_http(error.status_code), str(error.detail)), status=status)
    response.headers.update(error.headers or {})
    return response


async def _no_unicode(_request: Request, _error: Exception) -> Response:
    # JSON can escape a lone surrogate (half a character), which UTF-8 cannot encode.
    return problem_response(LeptonError(ErrorCode.INVALID, "a text in the request holds half a character: no Unicode"))


def _of_header(error: Mapping[str, Any]) -> Mapping[str, Any]:
    """Says that what is missing is a header, and not a field of the body."""
    if error["type"] != "missing" or error["loc"][0] != "header":
        return error
    return {**error, "type": "value_error", "msg": "this header of the request is required", "input": None}


def _location(location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    inner = location[1:] if location and location[0] in _PLACES else location
    return inner or ("body",)


def _body_model(request: Request) -> type[BaseModel] | None:
    """The model that the route's body is read into: its fields are what a misspelt one may have meant."""
    route = request.scope.get("route")
    field = route.body_field if isinstance(route, APIRoute) else None
    annotation = field.field_info.annotation if field is not None else None
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


__all__ = ["Problem", "build_app", "methods_of", "problem_response"]
