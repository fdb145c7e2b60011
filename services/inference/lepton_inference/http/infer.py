"""The one route whose speed counts, as bare ASGI: a framework's routing would cost more than a small model."""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity import current_principal
from lepton_inference.dataplane import Dataplane, deadline_in
from lepton_inference.http.body import header, read_body, respond
from lepton_inference.http.oip import LENGTH_HEADER, read_request, to_body
from lepton_inference.http.watching import unless_gone

_PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")


class InferShortcut:
    """Stands between the guard and the app: answers inference requests, passes on all others.

    The app has the same routes, so that the policy table, the documentation and the guard know them.
    """

    def __init__(self, app: ASGIApp, dataplane: Dataplane) -> None:
        self._app = app
        self._dataplane = dataplane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and (match := _PATH.fullmatch(scope["path"])):
            await infer(self._dataplane, match[1], match[2] or "", scope, receive, send)
        else:
            await self._app(scope, receive, send)


async def infer(dataplane: Dataplane, name: str, version: str, scope: Scope, receive: Receive, send: Send) -> None:
    caller = current_principal()
    served = dataplane.find(caller, name, version)
    if header(scope, b"content-encoding") not in (None, b"identity"):
        detail = "compressed bodies are not read here; send the body as it is"
        raise LeptonError(ErrorCode.UNSUPPORTED_MEDIA, detail)
    request = read_request(await read_body(receive), header(scope, LENGTH_HEADER))
    inputs = served.inputs.decode(request.tensors)
    deadline = deadline_in(request.timeout_seconds)
    work = dataplane.infer(caller, served, inputs, request.outputs, deadline)
    answer = await (unless_gone(receive, work) if served.queue.slow else work)
    headers, body = to_body(name, request, answer)
    await respond(send, headers, body)
