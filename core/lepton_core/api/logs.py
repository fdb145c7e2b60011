"""Chunks of a log."""

from pydantic import Field

from lepton_core.api.base import Answer, Resource


class LogChunk(Resource):
    attempt_id: str = ""
    stream: str = Field("", description='"rank-0", "launcher"')
    offset: int = 0
    data: bytes = b""
    at_us: int = 0


class ReadLogResponse(Answer):
    chunks: list[LogChunk]
    next_cursor: str
    end: bool
