from lepton_proto.v1 import artifacts_pb2 as _artifacts_pb2
from lepton_proto.v1 import errors_pb2 as _errors_pb2
from lepton_proto.v1 import runs_pb2 as _runs_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Directive(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DIRECTIVE_UNSPECIFIED: _ClassVar[Directive]
    DIRECTIVE_CONTINUE: _ClassVar[Directive]
    DIRECTIVE_CANCEL: _ClassVar[Directive]
    DIRECTIVE_DRAIN: _ClassVar[Directive]
DIRECTIVE_UNSPECIFIED: Directive
DIRECTIVE_CONTINUE: Directive
DIRECTIVE_CANCEL: Directive
DIRECTIVE_DRAIN: Directive

class Assignment(_message.Message):
    __slots__ = ("run_id", "attempt_id", "number", "project", "attempt_token", "spec_json", "recipe", "recipe_version", "data_digest", "dataset", "dataset_version", "dataset_version_id", "code_digest", "resume", "lease_seconds")
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SPEC_JSON_FIELD_NUMBER: _ClassVar[int]
    RECIPE_FIELD_NUMBER: _ClassVar[int]
    RECIPE_VERSION_FIELD_NUMBER: _ClassVar[int]
    DATA_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DATASET_FIELD_NUMBER: _ClassVar[int]
    DATASET_VERSION_FIELD_NUMBER: _ClassVar[int]
    DATASET_VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    CODE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    LEASE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    run_id: str
    attempt_id: str
    number: int
    project: str
    attempt_token: str
    spec_json: str
    recipe: str
    recipe_version: str
    data_digest: str
    dataset: str
    dataset_version: int
    dataset_version_id: str
    code_digest: str
    resume: _runs_pb2.Checkpoint
    lease_seconds: int
    def __init__(self, run_id: _Optional[str] = ..., attempt_id: _Optional[str] = ..., number: _Optional[int] = ..., project: _Optional[str] = ..., attempt_token: _Optional[str] = ..., spec_json: _Optional[str] = ..., recipe: _Optional[str] = ..., recipe_version: _Optional[str] = ..., data_digest: _Optional[str] = ..., dataset: _Optional[str] = ..., dataset_version: _Optional[int] = ..., dataset_version_id: _Optional[str] = ..., code_digest: _Optional[str] = ..., resume: _Optional[_Union[_runs_pb2.Checkpoint, _Mapping]] = ..., lease_seconds: _Optional[int] = ...) -> None: ...

class FileOffset(_message.Message):
    __slots__ = ("file", "offset")
    FILE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    file: str
    offset: int
    def __init__(self, file: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class AttemptResult(_message.Message):
    __slots__ = ("metrics_json", "evaluation_json", "statistics_json", "environment_json", "package", "code_digest")
    METRICS_JSON_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_JSON_FIELD_NUMBER: _ClassVar[int]
    STATISTICS_JSON_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_JSON_FIELD_NUMBER: _ClassVar[int]
    PACKAGE_FIELD_NUMBER: _ClassVar[int]
    CODE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    metrics_json: str
    evaluation_json: str
    statistics_json: str
    environment_json: str
    package: _containers.RepeatedCompositeFieldContainer[_artifacts_pb2.FileEntry]
    code_digest: str
    def __init__(self, metrics_json: _Optional[str] = ..., evaluation_json: _Optional[str] = ..., statistics_json: _Optional[str] = ..., environment_json: _Optional[str] = ..., package: _Optional[_Iterable[_Union[_artifacts_pb2.FileEntry, _Mapping]]] = ..., code_digest: _Optional[str] = ...) -> None: ...

class ClaimRequest(_message.Message):
    __slots__ = ("worker_id", "incarnation", "claim_id")
    WORKER_ID_FIELD_NUMBER: _ClassVar[int]
    INCARNATION_FIELD_NUMBER: _ClassVar[int]
    CLAIM_ID_FIELD_NUMBER: _ClassVar[int]
    worker_id: str
    incarnation: int
    claim_id: str
    def __init__(self, worker_id: _Optional[str] = ..., incarnation: _Optional[int] = ..., claim_id: _Optional[str] = ...) -> None: ...

class ClaimResponse(_message.Message):
    __slots__ = ("assignment",)
    ASSIGNMENT_FIELD_NUMBER: _ClassVar[int]
    assignment: Assignment
    def __init__(self, assignment: _Optional[_Union[Assignment, _Mapping]] = ...) -> None: ...

class HeartbeatRequest(_message.Message):
    __slots__ = ("attempt_id", "progress")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    progress: float
    def __init__(self, attempt_id: _Optional[str] = ..., progress: _Optional[float] = ...) -> None: ...

class HeartbeatResponse(_message.Message):
    __slots__ = ("directive", "lease_seconds")
    DIRECTIVE_FIELD_NUMBER: _ClassVar[int]
    LEASE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    directive: Directive
    lease_seconds: int
    def __init__(self, directive: _Optional[_Union[Directive, str]] = ..., lease_seconds: _Optional[int] = ...) -> None: ...

class CommitCheckpointRequest(_message.Message):
    __slots__ = ("attempt_id", "step", "epoch", "files", "metrics_json", "offsets", "score")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    METRICS_JSON_FIELD_NUMBER: _ClassVar[int]
    OFFSETS_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    step: int
    epoch: int
    files: _containers.RepeatedCompositeFieldContainer[_artifacts_pb2.FileEntry]
    metrics_json: str
    offsets: _containers.RepeatedCompositeFieldContainer[FileOffset]
    score: float
    def __init__(self, attempt_id: _Optional[str] = ..., step: _Optional[int] = ..., epoch: _Optional[int] = ..., files: _Optional[_Iterable[_Union[_artifacts_pb2.FileEntry, _Mapping]]] = ..., metrics_json: _Optional[str] = ..., offsets: _Optional[_Iterable[_Union[FileOffset, _Mapping]]] = ..., score: _Optional[float] = ...) -> None: ...

class CommitCheckpointResponse(_message.Message):
    __slots__ = ("checkpoint",)
    CHECKPOINT_FIELD_NUMBER: _ClassVar[int]
    checkpoint: _runs_pb2.Checkpoint
    def __init__(self, checkpoint: _Optional[_Union[_runs_pb2.Checkpoint, _Mapping]] = ...) -> None: ...

class FinishRequest(_message.Message):
    __slots__ = ("attempt_id", "outcome", "reason", "final", "result", "cause", "files")
    ATTEMPT_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FINAL_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    attempt_id: str
    outcome: _runs_pb2.AttemptState
    reason: str
    final: bool
    result: AttemptResult
    cause: _errors_pb2.Cause
    files: _containers.RepeatedCompositeFieldContainer[_artifacts_pb2.FileEntry]
    def __init__(self, attempt_id: _Optional[str] = ..., outcome: _Optional[_Union[_runs_pb2.AttemptState, str]] = ..., reason: _Optional[str] = ..., final: bool = ..., result: _Optional[_Union[AttemptResult, _Mapping]] = ..., cause: _Optional[_Union[_errors_pb2.Cause, _Mapping]] = ..., files: _Optional[_Iterable[_Union[_artifacts_pb2.FileEntry, _Mapping]]] = ...) -> None: ...

class FinishResponse(_message.Message):
    __slots__ = ("run",)
    RUN_FIELD_NUMBER: _ClassVar[int]
    run: _runs_pb2.Run
    def __init__(self, run: _Optional[_Union[_runs_pb2.Run, _Mapping]] = ...) -> None: ...
