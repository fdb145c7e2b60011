"""Server-sent events, as the gateway sends them (https://html.spec.whatwg.org/multipage/server-sent-events.html).

httpx-sse would replace only `messages`, and would be one more package in users' environments. Continuing after a
broken connection and detecting the end would remain ours.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from lepton.transport.http import BACKOFF, Transport
from lepton_core.backoff import Retrying
from lepton_core.errors import ErrorCode, LeptonError

MAX_FAILURES = 8
NO_CONTENT = 204


@dataclass(frozen=True, slots=True)
class Message:
    """`id` is the cursor to continue after this message; `event` is "message" unless the server named another."""

    event: str
    data: str
    id: str

    def json(self) -> Any:
        return json.loads(self.data)


def messages(lines: Iterable[str]) -> Iterator[Message]:
    """Yields complete messages only, not one that the end of the connection cut off."""
    event, id, data = "", "", list[str]()
    for line in lines:
        # An empty line ends a message. Lines that begin with a colon are comments, which keep the connection alive.
        if not line:
            if data:
                yield Message(event or "message", "\n".join(data), id)
            event, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            event = value
        elif field == "data":
            data.append(value)
        elif field == "id":
            id = value


def followed(transport: Transport, path: str, params: Mapping[str, Any]) -> Iterator[Message]:
    """The messages of a stream until its end. After a broken connection it continues after the last message.

    Raises the server's error, or UNAVAILABLE after several tries in a row without a message.
    """
    last, retrying = "", Retrying(BACKOFF, failures=MAX_FAILURES)
    while True:
        try:
            with transport.stream(path, params, last) as answer:
                if answer.status_code == NO_CONTENT:
                    # The end was sent on an earlier connection, which broke.
                    return
                for message in messages(answer.iter_lines()):
                    if message.event == "end":
                        return
                    if message.event == "problem":
                        raise _problem(message)
                    # Only a message counts as success: a server that accepts connections and ends them does not.
                    retrying = Retrying(BACKOFF, failures=MAX_FAILURES)
                    last = message.id or last
                    yield message
            # A server that is stopped ends its streams; the next connection continues.
            failure = LeptonError(ErrorCode.UNAVAILABLE, f"{transport.url} ended the stream")
        except httpx.HTTPError as error:
            failure = LeptonError(ErrorCode.UNAVAILABLE, f"the stream from {transport.url} broke: {error!r}")
        except LeptonError as error:
            failure = error
        time.sleep(retrying.pause_after(failure))


def _problem(message: Message) -> LeptonError:
    problem = message.json()
    try:
        code = ErrorCode(problem["code"])
    except ValueError:
        code = ErrorCode.INTERNAL
    return LeptonError(code, str(problem["detail"]))
