from lepton_proto.v1 import artifacts_pb2 as _artifacts_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RevisionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REVISION_STATE_UNSPECIFIED: _ClassVar[RevisionState]
    REVISION_STATE_PENDING: _ClassVar[RevisionState]
    REVISION_STATE_READY: _ClassVar[RevisionState]
    REVISION_STATE_FAILED: _ClassVar[RevisionState]
    REVISION_STATE_RETIRED: _ClassVar[RevisionState]
REVISION_STATE_UNSPECIFIED: RevisionState
REVISION_STATE_PENDING: RevisionState
REVISION_STATE_READY: RevisionState
REVISION_STATE_FAILED: RevisionState
REVISION_STATE_RETIRED: RevisionState

class Revision(_message.Message):
    __slots__ = ("id", "deployment_id", "number", "model_version_id", "model", "model_version", "model_digest", "state", "reason", "created_by", "created_at_us")
    ID_FIELD_NUMBER: _ClassVar[int]
    DEPLOYMENT_ID_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_DIGEST_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CREATED_BY_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_US_FIELD_NUMBER: _ClassVar[int]
    id: str
    deployment_id: str
    number: int
    model_version_id: str
    model: str
    model_version: int
    model_digest: str
    state: RevisionState
    reason: str
    created_by: str
    created_at_us: int
    def __init__(self, id: _Optional[str] = ..., deployment_id: _Optional[str] = ..., number: _Optional[int] = ..., model_version_id: _Optional[str] = ..., model: _Optional[str] = ..., model_version: _Optional[int] = ..., model_digest: _Optional[str] = ..., state: _Optional[_Union[RevisionState, str]] = ..., reason: _Optional[str] = ..., created_by: _Optional[str] = ..., created_at_us: _Optional[int] = ...) -> None: ...

class Deployment(_message.Message):
    __slots__ = ("id", "project", "name", "model", "alias", "desired", "last_good", "created_at_us", "updated_at_us")
    ID_FIELD_NUMBER: _ClassVar[int]
    PROJECT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    DESIRED_FIELD_NUMBER: _ClassVar[int]
    LAST_GOOD_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_US_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_US_FIELD_NUMBER: _ClassVar[int]
    id: str
    project: str
    name: str
    model: str
    alias: str
    desired: Revision
    last_good: Revision
    created_at_us: int
    updated_at_us: int
    def __init__(self, id: _Optional[str] = ..., project: _Optional[str] = ..., name: _Optional[str] = ..., model: _Optional[str] = ..., alias: _Optional[str] = ..., desired: _Optional[_Union[Revision, _Mapping]] = ..., last_good: _Optional[_Union[Revision, _Mapping]] = ..., created_at_us: _Optional[int] = ..., updated_at_us: _Optional[int] = ...) -> None: ...

class ServingTarget(_message.Message):
    __slots__ = ("deployment", "desired_files", "last_good_files")
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    DESIRED_FILES_FIELD_NUMBER: _ClassVar[int]
    LAST_GOOD_FILES_FIELD_NUMBER: _ClassVar[int]
    deployment: Deployment
    desired_files: _containers.RepeatedCompositeFieldContainer[_artifacts_pb2.FileEntry]
    last_good_files: _containers.RepeatedCompositeFieldContainer[_artifacts_pb2.FileEntry]
    def __init__(self, deployment: _Optional[_Union[Deployment, _Mapping]] = ..., desired_files: _Optional[_Iterable[_Union[_artifacts_pb2.FileEntry, _Mapping]]] = ..., last_good_files: _Optional[_Iterable[_Union[_artifacts_pb2.FileEntry, _Mapping]]] = ...) -> None: ...

class CreateDeploymentRequest(_message.Message):
    __slots__ = ("name", "model")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    name: str
    model: str
    def __init__(self, name: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class CreateDeploymentResponse(_message.Message):
    __slots__ = ("deployment", "created")
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    deployment: Deployment
    created: bool
    def __init__(self, deployment: _Optional[_Union[Deployment, _Mapping]] = ..., created: bool = ...) -> None: ...

class GetDeploymentRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class GetDeploymentResponse(_message.Message):
    __slots__ = ("deployment",)
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    deployment: Deployment
    def __init__(self, deployment: _Optional[_Union[Deployment, _Mapping]] = ...) -> None: ...

class ListDeploymentsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListDeploymentsResponse(_message.Message):
    __slots__ = ("deployments",)
    DEPLOYMENTS_FIELD_NUMBER: _ClassVar[int]
    deployments: _containers.RepeatedCompositeFieldContainer[Deployment]
    def __init__(self, deployments: _Optional[_Iterable[_Union[Deployment, _Mapping]]] = ...) -> None: ...

class UpdateDeploymentRequest(_message.Message):
    __slots__ = ("name", "model")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    name: str
    model: str
    def __init__(self, name: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class UpdateDeploymentResponse(_message.Message):
    __slots__ = ("deployment",)
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    deployment: Deployment
    def __init__(self, deployment: _Optional[_Union[Deployment, _Mapping]] = ...) -> None: ...

class RollbackDeploymentRequest(_message.Message):
    __slots__ = ("name", "revision")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    name: str
    revision: int
    def __init__(self, name: _Optional[str] = ..., revision: _Optional[int] = ...) -> None: ...

class RollbackDeploymentResponse(_message.Message):
    __slots__ = ("deployment",)
    DEPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    deployment: Deployment
    def __init__(self, deployment: _Optional[_Union[Deployment, _Mapping]] = ...) -> None: ...

class DeleteDeploymentRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DeleteDeploymentResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRevisionsRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class ListRevisionsResponse(_message.Message):
    __slots__ = ("revisions",)
    REVISIONS_FIELD_NUMBER: _ClassVar[int]
    revisions: _containers.RepeatedCompositeFieldContainer[Revision]
    def __init__(self, revisions: _Optional[_Iterable[_Union[Revision, _Mapping]]] = ...) -> None: ...

class WatchServingRequest(_message.Message):
    __slots__ = ("replica_id",)
    REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    replica_id: str
    def __init__(self, replica_id: _Optional[str] = ...) -> None: ...

class WatchServingResponse(_message.Message):
    __slots__ = ("targets",)
    TARGETS_FIELD_NUMBER: _ClassVar[int]
    targets: _containers.RepeatedCompositeFieldContainer[ServingTarget]
    def __init__(self, targets: _Optional[_Iterable[_Union[ServingTarget, _Mapping]]] = ...) -> None: ...

class ReportRevisionRequest(_message.Message):
    __slots__ = ("revision_id", "replica_id", "state", "reason")
    REVISION_ID_FIELD_NUMBER: _ClassVar[int]
    REPLICA_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    revision_id: str
    replica_id: str
    state: RevisionState
    reason: str
    def __init__(self, revision_id: _Optional[str] = ..., replica_id: _Optional[str] = ..., state: _Optional[_Union[RevisionState, str]] = ..., reason: _Optional[str] = ...) -> None: ...

class ReportRevisionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
