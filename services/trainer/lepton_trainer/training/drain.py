"""Handles SIGTERM, which asks a rank to write a checkpoint and stop at the end of a step."""

import signal
from types import FrameType, TracebackType
from typing import Self


class Drain:
    """In this context, SIGTERM only sets a flag, which the ranks exchange in their next collective call."""

    def __init__(self) -> None:
        self.requested = False
        self._previous: signal.Handlers | None = None

    def __enter__(self) -> Self:
        self._previous = signal.signal(signal.SIGTERM, self._request)  # type: ignore[assignment]  # of typeshed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After the training, SIGTERM is ignored: the rest takes seconds, and the run is then finished, not released.
        signal.signal(signal.SIGTERM, signal.SIG_IGN if kind is None else self._previous)

    def _request(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature of a handler
        self.requested = True
