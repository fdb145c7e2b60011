from lepton_proto.v1 import recipes_pb2 as _recipes_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Worker(_message.Message):
    __slots__ = ("id", "hostname", "incarnation", "recipes", "accepts_scripts", "max_ranks", "gpus", "registered_at_us", "seen_at_us", "alive", "current_attempt_id", "draining", "isolates_scripts")
    ID_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    RECIPES_FIELD_NUMBER: _ClassVar[int]
    ACCEPTS_SCRIPTS_FIELD_NUMBER: _ClassVar[int]
    MAX_RANKS_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_AT_US_FIELD_NUMBER: _ClassVar[int]
    SEEN_AT_US_FIELD_NUMBER: _ClassVar[int]
    ALIVE_FIELD_NUMBER: _ClassVar[int]
    CURRENT_ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    ISOLATES_SCRIPTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    hostname: str
    incarnation: int
    recipes: _containers.RepeatedScalarFieldContainer[str]
    accepts_scripts: bool
    max_ranks: int
    gpus: int
    registered_at_us: int
    seen_at_us: int
    alive: bool
    current_attempt_id: str
    draining: bool
    isolates_scripts: bool
    def __init__(self, id: _Optional[str] = ..., hostname: _Optional[str] = ..., incarnation: _Optional[int] = ..., recipes: _Optional[_Iterable[str]] = ..., accepts_scripts: bool = ..., max_ranks: _Optional[int] = ..., gpus: _Optional[int] = ..., registered_at_us: _Optional[int] = ..., seen_at_us: _Optional[int] = ..., alive: bool = ..., current_attempt_id: _Optional[str] = ..., draining: bool = ..., isolates_scripts: bool = ...) -> None: ...

class RegisterWorkerRequest(_message.Message):
    __slots__ = ("id", "hostname", "incarnation", "recipes", "accepts_scripts", "max_ranks", "gpus", "isolates_scripts")
    ID_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    RECIPES_FIELD_NUMBER: _ClassVar[int]
    ACCEPTS_SCRIPTS_FIELD_NUMBER: _ClassVar[int]
    MAX_RANKS_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    ISOLATES_SCRIPTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    hostname: str
    incarnation: int
    recipes: _containers.RepeatedCompositeFieldContainer[_recipes_pb2.Recipe]
    accepts_scripts: bool
    max_ranks: int
    gpus: int
    isolates_scripts: bool
    def __init__(self, id: _Optional[str] = ..., hostname: _Optional[str] = ..., incarnation: _Optional[int] = ..., recipes: _Optional[_Iterable[_Union[_recipes_pb2.Recipe, _Mapping]]] = ..., accepts_scripts: bool = ..., max_ranks: _Optional[int] = ..., gpus: _Optional[int] = ..., isolates_scripts: bool = ...) -> None: ...

class RegisterWorkerResponse(_message.Message):
    __slots__ = ("worker",)
    WORKER_FIELD_NUMBER: _ClassVar[int]
    worker: Worker
    def __init__(self, worker: _Optional[_Union[Worker, _Mapping]] = ...) -> None: ...

class ListWorkersRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListWorkersResponse(_message.Message):
    __slots__ = ("workers",)
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    workers: _containers.RepeatedCompositeFieldContainer[Worker]
    def __init__(self, workers: _Optional[_Iterable[_Union[Worker, _Mapping]]] = ...) -> None: ...

class DrainWorkerRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DrainWorkerResponse(_message.Message):
    __slots__ = ("worker",)
    WORKER_FIELD_NUMBER: _ClassVar[int]
    worker: Worker
    def __init__(self, worker: _Optional[_Union[Worker, _Mapping]] = ...) -> None: ...
