"""Server-sent events, as the gateway sends them (https://html.spec.whatwg.org/multipage/server-sent-events.html).

httpx-sse would replace `messages` alone, and be one more package in users' environments: going on after a broken
connection and knowing the end stay ours.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from lepton.transport.http import Transport, backoff
from lepton_core.errors import ErrorCode, LeptonError

MAX_FAILURES = 8
NO_CONTENT = 204


@dataclass(frozen=True, slots=True)
class Message:
    """`id` is where to go on after this message; `event` is "message" unless the server named it."""

    event: str
    data: str
    id: str

    def json(self) -> Any:
        return json.loads(self.data)


def messages(lines: Iterable[str]) -> Iterator[Message]:
    """Whole messages only: one that the connection's end cut short is not given out."""
    event, id, data = "", "", list[str]()
    for line in lines:
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
    """The messages of a stream until the one that ends it; a broken connection is taken up again after the last one.

    Raises what the server says, or UNAVAILABLE when several tries in a row brought nothing.
    """
    last, failures = "", 0
    while True:
        try:
            with transport.stream(path, params, last) as answer:
                if answer.status_code == NO_CONTENT:
                    # The end was sent before, to a connection that broke.
                    return
                for message in messages(answer.iter_lines()):
                    if message.event == "end":
                        return
                    if message.event == "problem":
                        raise _problem(message)
                    failures = 0
                    last = message.id or last
                    yield message
            # A server that drains ends its streams in good order; the next one goes on.
            failure = LeptonError(ErrorCode.UNAVAILABLE, f"{transport.url} ended the stream")
        except httpx.HTTPError as error:
            failure = LeptonError(ErrorCode.UNAVAILABLE, f"the stream from {transport.url} broke: {error!r}")
        except LeptonError as error:
            if not error.retryable:
                raise
            failure = error
        failures += 1
        if failures > MAX_FAILURES:
            raise failure
        time.sleep(backoff(failures))


def _problem(message: Message) -> LeptonError:
    problem = message.json()
    try:
        code = ErrorCode(problem["code"])
    except ValueError:
        code = ErrorCode.INTERNAL
    return LeptonError(code, str(problem["detail"]))
