from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LogChunk(_message.Message):
    __slots__ = ("attempt_id", "stream", "offset", "data", "at_us")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    stream: str
    offset: int
    data: bytes
    at_us: int
    def __init__(self, attempt_id: _Optional[str] = ..., stream: _Optional[str] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., at_us: _Optional[int] = ...) -> None: ...

class AppendLogRequest(_message.Message):
    __slots__ = ("attempt_id", "stream", "offset", "data")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    stream: str
    offset: int
    data: bytes
    def __init__(self, attempt_id: _Optional[str] = ..., stream: _Optional[str] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class AppendLogResponse(_message.Message):
    __slots__ = ("committed_offset", "full")
    COMMITTED_OFFSET_FIELD_NUMBER: _ClassVar[int]
    FULL_FIELD_NUMBER: _ClassVar[int]
    committed_offset: int
    full: bool
    def __init__(self, committed_offset: _Optional[int] = ..., full: bool = ...) -> None: ...

class ReadLogRequest(_message.Message):
    __slots__ = ("run_id", "stream", "cursor", "limit")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    stream: str
    cursor: str
    limit: int
    def __init__(self, run_id: _Optional[str] = ..., stream: _Optional[str] = ..., cursor: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ReadLogResponse(_message.Message):
    __slots__ = ("chunks", "next_cursor", "end")
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    chunks: _containers.RepeatedCompositeFieldContainer[LogChunk]
    next_cursor: str
    end: bool
    def __init__(self, chunks: _Optional[_Iterable[_Union[LogChunk, _Mapping]]] = ..., next_cursor: _Optional[str] = ..., end: bool = ...) -> None: ...
