"""HTTP schemas and protobuf agree field by field: every resource is built, sent through its message, and compared."""

import itertools
import math
import types
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Union, get_args, get_origin

import pytest
from google.protobuf.message import Message
from pydantic import BaseModel

from lepton_core import jobs, resources
from lepton_core.errors import FieldError, LeptonError
from lepton_core.resources.base import Resource
from lepton_core.wire import from_proto, set_fields, to_proto
from lepton_proto.v1 import (
    artifacts_pb2,
    datasets_pb2,
    deployments_pb2,
    errors_pb2,
    events_pb2,
    jobs_pb2,
    lineage_pb2,
    logs_pb2,
    metrics_pb2,
    models_pb2,
    projects_pb2,
    recipes_pb2,
    runs_pb2,
    workers_pb2,
)

MODULES = (
    artifacts_pb2, datasets_pb2, deployments_pb2, errors_pb2, events_pb2, jobs_pb2, lineage_pb2, logs_pb2,
    metrics_pb2, models_pb2, projects_pb2, recipes_pb2, runs_pb2, workers_pb2,
)  # fmt: skip

# Where a resource's message has another name.
MESSAGES: dict[str, type[Message]] = {"Lineage": lineage_pb2.GetLineageResponse}


def message_of(name: str) -> type[Message]:
    if name in MESSAGES:
        return MESSAGES[name]
    found = [getattr(module, name) for module in MODULES if name in module.DESCRIPTOR.message_types_by_name]
    assert len(found) == 1, f"no message, or several, for the resource {name}"
    message: type[Message] = found[0]
    return message


def every_resource() -> list[type[BaseModel]]:
    models = [getattr(resources, name) for name in resources.__all__]
    return [model for model in models if issubclass(model, Resource) and model is not Resource]


def filled(kind: Any, counter: Iterator[int]) -> Any:
    """A value of the annotated type that differs from every other and from every default."""
    if isinstance(kind, type):
        if issubclass(kind, BaseModel):
            return kind.model_construct(
                **{name: filled(field.annotation, counter) for name, field in kind.model_fields.items()}
            )
        if issubclass(kind, StrEnum):
            return list(kind)[-1]
        values: dict[type, Any] = {str: "x{}", bytes: b"\xff%d", bool: True, int: 0, float: 0.5}
        number = next(counter)
        value = values[kind]
        if isinstance(value, bool):
            return value
        if isinstance(value, str):
            return value.format(number)
        return value % number if isinstance(value, bytes) else value + number
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return filled(inner[0], counter)
    if origin is list:
        return [filled(inner[0], counter), filled(inner[0], counter)]
    assert origin is dict, kind
    return {f"k{next(counter)}": float(next(counter))}


@pytest.mark.parametrize("model", every_resource(), ids=lambda model: model.__name__)
def test_a_resource_survives_its_message_and_json(model: type[BaseModel]) -> None:
    message = message_of(model.__name__)
    resource = filled(model, itertools.count(1))
    sent = to_proto(resource, message)
    assert from_proto(message.FromString(sent.SerializeToString()), model) == resource
    assert model.model_validate_json(resource.model_dump_json()) == resource


@pytest.mark.parametrize("model", every_resource(), ids=lambda model: model.__name__)
def test_an_empty_message_is_a_resource_of_defaults(model: type[BaseModel]) -> None:
    message = message_of(model.__name__)()
    if any(field.is_required() for field in model.model_fields.values()):
        with pytest.raises(LeptonError, match="unset"):
            from_proto(message, model)
    else:
        assert from_proto(message, model) == model()


def test_a_metric_that_is_no_number_reaches_http_clients() -> None:
    point = resources.MetricPoint(key="loss", value=math.nan)
    assert math.isnan(resources.MetricPoint.model_validate_json(point.model_dump_json()).value)


def test_every_enum_has_the_values_of_its_message() -> None:
    protos = {name: enum for module in MODULES for name, enum in module.DESCRIPTOR.enum_types_by_name.items()}
    enums = {name: getattr(resources, name) for name in resources.__all__}
    seen = 0
    for name, enum in protos.items():
        kind = enums.get(name)
        if kind is None or not issubclass(kind, StrEnum):
            continue
        prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
        assert [value.name.removeprefix(prefix).lower() for value in enum.values[1:]] == list(kind)
        seen += 1
    assert seen >= 6


def test_every_resource_of_the_contract_has_its_schema() -> None:
    """The list of the contract (ARCHITECTURE): a message without a schema would be a door that only gRPC has."""
    needed = (
        "Run Attempt Dataset DatasetVersion Artifact Project ApiKey Recipe Worker MetricPoint LogChunk Model "
        "ModelVersion Alias Deployment Revision LineageEdge Event"
    )
    assert set(needed.split()) <= {model.__name__ for model in every_resource()}


def test_the_job_spec_agrees() -> None:
    spec = jobs.parse_job(
        {
            "name": "n",
            "script": {
                "entry": "train.py",
                "args": ["--fast"],
                "code": "sha256:" + "0" * 64,
                "requirements": "requirements.txt",
            },
            "data": "digits@3",
            "train": {"epochs": 12, "rate": 0.002, "big": 2**60},
            "resources": {"ranks": 2},
            "register": {"model": "m", "alias": "champion"},
            "retries": 0,
            "limits": {"max_disk_bytes": 10**12, "timeout_seconds": 60},
            "labels": {"team": "vision"},
        }
    )
    sent = to_proto(spec, jobs_pb2.JobSpec)
    assert from_proto(sent, jobs.JobSpec) == spec
    assert jobs.parse_job(set_fields(sent, jobs.JobSpec)) == spec


def test_what_a_grpc_client_did_not_set_is_left_to_the_defaults() -> None:
    message = jobs_pb2.JobSpec(name="n", recipe="r", data="d", train_json='{"epochs":12}')
    given = set_fields(message, jobs.JobSpec)
    assert given == {"name": "n", "recipe": "r", "data": "d", "train": {"epochs": 12}}
    assert jobs.parse_job(given).retries == 2
    message.retries = 0
    assert jobs.parse_job(set_fields(message, jobs.JobSpec)).retries == 0


def test_the_error_agrees() -> None:
    fields = {field.name for field in errors_pb2.FieldError.DESCRIPTOR.fields}
    assert fields == set(FieldError.__dataclass_fields__)
