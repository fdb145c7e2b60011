"""The log of a run, as pieces of text from its streams: one for each rank, and the launcher's."""

from __future__ import annotations

import codecs
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from lepton.transport.http import Transport
from lepton.transport.sse import followed
from lepton_core.api import ReadLogResponse
from lepton_core.api import Run as RunResource
from lepton_core.api.limits import MAX_LOG_CHUNKS
from lepton_core.errors import ErrorCode, FieldError, LeptonError

LAUNCHER = "launcher"
# All streams, in the order in which their pieces arrived.
ALL = "all"


@dataclass(frozen=True, slots=True)
class LogPiece:
    attempt_id: str
    stream: str
    text: str


def check_stream(run: RunResource, stream: str) -> None:
    """Raises NOT_FOUND with the run's streams, if `stream` is not one of them."""
    ranks = run.spec.get("resources", {}).get("ranks", 1)
    streams = [f"rank-{rank}" for rank in range(ranks)]
    if stream in (*streams, LAUNCHER, ALL):
        return
    several = f"{streams[0]} to {streams[-1]}" if len(streams) > 3 else ", ".join(streams)
    allowed = f"{several}, {LAUNCHER}, {ALL}"
    message = f"run {run.id} has no log stream {stream!r}"
    raise LeptonError(ErrorCode.NOT_FOUND, message, [FieldError("stream", message, stream, allowed)])


def read_pieces(transport: Transport, path: str, stream: str) -> Iterator[LogPiece]:
    """The log so far. `path` is the run's; an empty `stream` means all."""
    # A piece may end within a character; the decoder of each log keeps the first bytes of it.
    decoders: defaultdict[tuple[str, str], codecs.IncrementalDecoder] = defaultdict(
        lambda: codecs.getincrementaldecoder("utf-8")("replace")
    )
    chosen, cursor = _chosen(stream), ""
    while True:
        page = transport.get(f"{path}/logs", ReadLogResponse, {**chosen, "cursor": cursor, "limit": MAX_LOG_CHUNKS})
        for found in page.chunks:
            text = decoders[found.attempt_id, found.stream].decode(found.data)
            yield LogPiece(found.attempt_id, found.stream, text)
        if not page.chunks:
            return
        cursor = page.next_cursor


def follow_pieces(transport: Transport, path: str, stream: str) -> Iterator[LogPiece]:
    """Pieces as they arrive, until the run has ended."""
    for message in followed(transport, f"{path}/logs/stream", _chosen(stream)):
        for chunk in message.json():
            yield LogPiece(chunk["attempt_id"], chunk["stream"], chunk["text"])


def spoken(pieces: Iterable[LogPiece]) -> Iterator[LogPiece]:
    """The pieces of the ranks, then the launcher's pieces of attempts whose ranks wrote nothing.

    After a failure the launcher writes a long traceback of its own, which would hide the reason.
    """
    launchers: defaultdict[str, list[LogPiece]] = defaultdict(list)
    spoke: set[str] = set()
    for piece in pieces:
        if piece.stream == LAUNCHER:
            launchers[piece.attempt_id].append(piece)
        else:
            spoke.add(piece.attempt_id)
            yield piece
    for attempt_id, held in launchers.items():
        if attempt_id not in spoke:
            yield from held


def _chosen(stream: str) -> dict[str, str]:
    return {} if stream in ("", ALL) else {"stream": stream}
