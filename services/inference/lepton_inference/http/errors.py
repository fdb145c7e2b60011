"""Adds `error`, which clients of the Open Inference Protocol read, to our problem documents."""

from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lepton_core.http.problems import PROBLEM_MEDIA_TYPE

_PROBLEM = (b"content-type", PROBLEM_MEDIA_TYPE.encode())


class OipErrors:
    """Adds the member `error` to every problem document under /v2, also to those of the guard inside it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/v2"):
            await self._app(scope, receive, send)
            return
        held: list[dict[str, Any]] = []

        async def extend(message: Message) -> None:
            if message["type"] == "http.response.start" and _PROBLEM in message["headers"]:
                held.append(dict(message))
                return
            if held:
                start = held.pop()
                body = _with_error(message["body"])
                kept = [pair for pair in start["headers"] if pair[0] != b"content-length"]
                await send(start | {"headers": [*kept, (b"content-length", b"%d" % len(body))]})
                message = dict(message) | {"body": body}
            await send(message)

        await self._app(scope, receive, extend)


def _with_error(body: bytes) -> bytes:
    problem = orjson.loads(body)
    # With the wrong field, for clients that show only this text.
    return orjson.dumps(problem | {"error": problem["detail"]})
