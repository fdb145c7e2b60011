"""The inference route as plain ASGI, since a framework's routing would take longer than a small model."""

import re
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Receive, Scope, Send

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.http.guard import Guard
from lepton_core.http.routes import RouteIndex
from lepton_core.http.unread_input import refuse_unknown_parameters
from lepton_core.identity import Authenticator, current_principal
from lepton_core.observability import Observe
from lepton_inference.dataplane import Dataplane, deadline_in
from lepton_inference.http.body import header, read_body, respond
from lepton_inference.http.disconnect import unless_gone
from lepton_inference.http.errors import OipErrors
from lepton_inference.http.oip import LENGTH_HEADER, read_request, to_body

# One pattern for both routes; the guard has their templates.
_PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
ROUTES = (("POST", "/v2/models/{name}/infer"), ("POST", "/v2/models/{name}/versions/{version}/infer"))


class InferMiddleware:
    """A layer before the app: handles inference requests with its own guard, and passes all others to the app.

    The app has the same routes, for the OpenAPI document and the test of the policy table.
    """

    def __init__(
        self,
        app: ASGIApp,
        dataplane: Dataplane,
        authenticator: Authenticator,
        *,
        max_body_bytes: int,
        observe: Observe | None = None,
    ) -> None:
        self._app = app
        self._dataplane = dataplane
        routes = RouteIndex(ROUTES)
        guard = Guard(
            self._infer,
            routes=lambda: routes,
            authenticator=authenticator,
            max_body_bytes=max_body_bytes,
            observe=observe,
        )
        self._guarded = OipErrors(guard)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_post = scope["type"] == "http" and scope["method"] == "POST"
        if is_post and _PATH.fullmatch(scope["path"]):
            await self._guarded(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _infer(self, scope: Scope, receive: Receive, send: Send) -> None:
        match = _PATH.fullmatch(scope["path"])
        assert match
        await infer(self._dataplane, match[1], match[2] or "", scope, receive, send)


async def infer(dataplane: Dataplane, name: str, version: str, scope: Scope, receive: Receive, send: Send) -> None:
    caller = current_principal()
    if scope["query_string"]:
        _refuse_query(name, scope["query_string"].decode("latin-1"))
    served = dataplane.find(caller, name, version)
    if header(scope, b"content-encoding") not in (None, b"identity"):
        detail = "compressed bodies are not supported; send the body uncompressed"
        raise LeptonError(ErrorCode.UNSUPPORTED_MEDIA, detail)
    request = read_request(await read_body(receive), header(scope, LENGTH_HEADER))
    inputs = served.inputs.decode(request.tensors)
    deadline = deadline_in(request.timeout_seconds)
    work = dataplane.infer(caller, served, inputs, request.outputs, deadline)
    answer = await (unless_gone(receive, work) if served.queue.slow else work)
    headers, body = to_body(name, request, answer)
    await respond(send, headers, body)


def _refuse_query(name: str, query: str) -> None:
    """This route does not pass the check of the app's other routes (`refuse_unread_input`)."""
    parameters = parse_qs(query, keep_blank_values=True)
    if "version" in parameters:
        message = f"is not a query parameter of this path; use /v2/models/{name[:128]}/versions/VERSION/infer"
        raise invalid("version", message)
    refuse_unknown_parameters(parameters, known=())
