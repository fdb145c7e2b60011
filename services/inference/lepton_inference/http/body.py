"""Reads bodies and sends answers directly by ASGI, without a framework."""

from starlette.types import Receive, Scope, Send

from lepton_core.errors import ErrorCode, LeptonError

Headers = tuple[tuple[bytes, bytes], ...]


async def read_body(receive: Receive) -> bytes:
    """The body; the guard limits its size. Raises CANCELLED if the client disconnects before its end."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False) and message["type"] == "http.request":
        return body
    parts = [body]
    while message.get("more_body", False):
        message = await receive()
        parts.append(message.get("body", b""))
    if message["type"] != "http.request":
        raise LeptonError(ErrorCode.CANCELLED, "the client disconnected before the end of the body")
    return b"".join(parts)


def header(scope: Scope, wanted: bytes) -> bytes | None:
    for name, value in scope["headers"]:
        if name == wanted:
            found: bytes = value
            return found
    return None


async def respond(send: Send, headers: Headers, body: bytes) -> None:
    complete = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": complete})
    await send({"type": "http.response.body", "body": body})
