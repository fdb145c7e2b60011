"""SIGTERM to a rank means: leave at the next step boundary, with a checkpoint."""

import signal
from types import FrameType, TracebackType
from typing import Self


class Drain:
    """While entered, SIGTERM only sets a flag; the ranks agree on it in their next exchange."""

    def __init__(self) -> None:
        self.requested = False
        self._previous: signal.Handlers | None = None

    def __enter__(self) -> Self:
        self._previous = signal.signal(signal.SIGTERM, self._request)  # type: ignore[assignment]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What follows the training takes seconds, and a finished run is worth more than a released one.
        signal.signal(signal.SIGTERM, signal.SIG_IGN if kind is None else self._previous)

    def _request(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        self.requested = True
