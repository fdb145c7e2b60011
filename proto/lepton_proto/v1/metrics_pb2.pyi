from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MetricPoint(_message.Message):
    __slots__ = ("key", "step", "value", "at_us", "rank", "attempt_id")
    KEY_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    AT_US_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    key: str
    step: int
    value: float
    at_us: int
    rank: int
    attempt_id: str
    def __init__(self, key: _Optional[str] = ..., step: _Optional[int] = ..., value: _Optional[float] = ..., at_us: _Optional[int] = ..., rank: _Optional[int] = ..., attempt_id: _Optional[str] = ...) -> None: ...

class AppendMetricsRequest(_message.Message):
    __slots__ = ("attempt_id", "rank", "file", "offset", "records")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    rank: int
    file: str
    offset: int
    records: bytes
    def __init__(self, attempt_id: _Optional[str] = ..., rank: _Optional[int] = ..., file: _Optional[str] = ..., offset: _Optional[int] = ..., records: _Optional[bytes] = ...) -> None: ...

class AppendMetricsResponse(_message.Message):
    __slots__ = ("committed_offset", "dropped_names", "dropped_name_count")
    COMMITTED_OFFSET_FIELD_NUMBER: _ClassVar[int]
    DROPPED_NAMES_FIELD_NUMBER: _ClassVar[int]
    DROPPED_NAME_COUNT_FIELD_NUMBER: _ClassVar[int]
    committed_offset: int
    dropped_names: _containers.RepeatedScalarFieldContainer[str]
    dropped_name_count: int
    def __init__(self, committed_offset: _Optional[int] = ..., dropped_names: _Optional[_Iterable[str]] = ..., dropped_name_count: _Optional[int] = ...) -> None: ...

class QueryMetricsRequest(_message.Message):
    __slots__ = ("run_id", "keys", "cursor", "limit")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    keys: _containers.RepeatedScalarFieldContainer[str]
    cursor: str
    limit: int
    def __init__(self, run_id: _Optional[str] = ..., keys: _Optional[_Iterable[str]] = ..., cursor: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class QueryMetricsResponse(_message.Message):
    __slots__ = ("points", "next_cursor", "end")
    POINTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    points: _containers.RepeatedCompositeFieldContainer[MetricPoint]
    next_cursor: str
    end: bool
    def __init__(self, points: _Optional[_Iterable[_Union[MetricPoint, _Mapping]]] = ..., next_cursor: _Optional[str] = ..., end: bool = ...) -> None: ...
