"""HTTP schemas and protobuf agree field by field: every resource and answer is built, sent through its message, and
compared; the bodies of requests have the fields of their messages."""

import itertools
import math
import types
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Union, get_args, get_origin

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from pydantic import BaseModel

from lepton_core import api
from lepton_core.api.base import Answer, Request, Resource
from lepton_core.errors import FieldError, LeptonError
from lepton_core.grpc.conversion import from_proto, set_fields, to_proto
from lepton_core.jobs import spec
from lepton_fixtures.applications import gateway_app
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


# Answers for which gRPC has another shape: who a key is (a principal), and an archive's digest.
HTTP_ALONE = {api.Caller, api.CodeFolder}


def every(base: type[BaseModel]) -> list[type[BaseModel]]:
    models = [getattr(api, name) for name in api.__all__]
    return [model for model in models if issubclass(model, base) and model not in HTTP_ALONE]


def every_resource() -> list[type[BaseModel]]:
    return [model for model in every(Resource) if not issubclass(model, Answer)]


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


@pytest.mark.parametrize("model", every(Resource), ids=lambda model: model.__name__)
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
    point = api.MetricPoint(key="loss", value=math.nan)
    assert math.isnan(api.MetricPoint.model_validate_json(point.model_dump_json()).value)


def test_every_enum_has_the_values_of_its_message() -> None:
    protos = {name: enum for module in MODULES for name, enum in module.DESCRIPTOR.enum_types_by_name.items()}
    enums = {name: getattr(api, name) for name in api.__all__}
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
    parsed = spec.parse_job(
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
    sent = to_proto(parsed, jobs_pb2.JobSpec)
    assert from_proto(sent, spec.JobSpec) == parsed
    assert spec.parse_job(set_fields(sent, spec.JobSpec)) == parsed


def test_what_a_grpc_client_did_not_set_is_left_to_the_defaults() -> None:
    message = jobs_pb2.JobSpec(name="n", recipe="r", data="d", train_json='{"epochs":12}')
    given = set_fields(message, spec.JobSpec)
    assert given == {"name": "n", "recipe": "r", "data": "d", "train": {"epochs": 12}}
    assert spec.parse_job(given).retries == 2
    message.retries = 0
    assert spec.parse_job(set_fields(message, spec.JobSpec)).retries == 0


@pytest.mark.parametrize("body", every(Request), ids=lambda body: body.__name__)
def test_the_body_of_a_request_has_the_fields_of_its_message(body: type[Request]) -> None:
    fields = message_of(body.__name__).DESCRIPTOR.fields_by_name
    assert set(body.model_fields) == set(fields) - body.in_path
    assert body.in_path <= set(fields)
    for name, info in body.model_fields.items():
        assert kind_of(info.annotation) == wire_kind(fields[name]), name


def kind_of(annotation: Any) -> tuple[bool, str]:
    """(is a list, the name of what it holds)."""
    if get_origin(annotation) is list:
        return True, kind_of(get_args(annotation)[0])[1]
    return False, {"str": "string", "bool": "bool", "int": "integer"}.get(annotation.__name__, annotation.__name__)


def wire_kind(field: FieldDescriptor) -> tuple[bool, str]:
    named = field.message_type or field.enum_type
    scalars = {FieldDescriptor.CPPTYPE_STRING: "string", FieldDescriptor.CPPTYPE_BOOL: "bool"}
    return field.is_repeated, named.name if named else scalars.get(field.cpp_type, "integer")


async def test_no_route_answers_with_a_schema_of_its_own() -> None:
    """What OpenAPI shows is a resource, a body that was compared above, or a problem."""
    compared = {model.__name__ for model in (*every(Resource), *every(Request))}
    enums = {name for name in api.__all__ if not issubclass(getattr(api, name), BaseModel)}
    http_alone = {"Caller", "CodeFolder", "ErrorCode", "Problem", "ProblemField"}
    # The parts of a job file: `test_the_job_spec_agrees` compares them.
    http_alone |= {"JobSpec", *spec.job_schema()["$defs"]}
    assert set(await schemas_of_the_gateway()) - compared - enums - http_alone == set()


async def schemas_of_the_gateway() -> dict[str, Any]:
    schemas: dict[str, Any] = (await gateway_app()).openapi()["components"]["schemas"]
    return schemas


def test_the_error_agrees() -> None:
    fields = {field.name for field in errors_pb2.FieldError.DESCRIPTOR.fields}
    assert fields == set(FieldError.__dataclass_fields__)
