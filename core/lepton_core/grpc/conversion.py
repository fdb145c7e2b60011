"""Between pydantic resources and their protobuf messages, generically: same names on both sides.

An enum `RUN_STATE_RUNNING` is the StrEnum value "running"; a text field `x_json` is the field `x` of JSON type; an
unset message or optional is None. How each pair of classes converts is worked out once and kept.
"""

import types
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from pydantic import BaseModel

from lepton_core.errors import LeptonError, invalid
from lepton_core.validation import canonical_json, read_json, stored_document

Model = TypeVar("Model", bound=BaseModel)
AnyMessage = TypeVar("AnyMessage", bound=Message)
Convert = Callable[[Any], Any]


class _Step(NamedTuple):
    """How one field crosses. A `None` converter passes the value as it is."""

    field: str
    wire: str
    to_wire: Convert | None
    from_wire: Convert | None
    presence: bool
    descriptor: FieldDescriptor


_PLANS: dict[tuple[type[BaseModel], type[Message]], tuple[_Step, ...]] = {}


def to_proto(model: BaseModel, message_class: type[AnyMessage]) -> AnyMessage:
    values: dict[str, Any] = {}
    for step in _plan(type(model), message_class):
        value = getattr(model, step.field)
        if value is not None:
            values[step.wire] = value if step.to_wire is None else step.to_wire(value)
    return message_class(**values)


def from_proto(message: Message, model_class: type[Model]) -> Model:
    """Trusts the sender: nothing is validated beyond what conversion needs. For clients' messages: `set_fields`."""
    values: dict[str, Any] = {}
    for step in _plan(model_class, type(message)):
        if step.presence and not message.HasField(step.wire):
            values[step.field] = None
        else:
            value = getattr(message, step.wire)
            values[step.field] = value if step.from_wire is None else step.from_wire(value)
    return model_class.model_construct(**values)


def set_fields(message: Message, model_class: type[BaseModel]) -> dict[str, Any]:
    """What the sender set, as a JSON object ready for validation; raises INVALID for JSON text that is none."""
    found: dict[str, Any] = {}
    steps = {step.wire: step for step in _plan(model_class, type(message))}
    for descriptor, value in message.ListFields():
        step = steps[descriptor.name]
        found[step.field] = _plain(step, value, model_class)
    return found


def list_to_proto(models: Iterable[BaseModel], message_class: type[AnyMessage]) -> list[AnyMessage]:
    return [to_proto(model, message_class) for model in models]


def list_from_proto(messages: Iterable[Message], model_class: type[Model]) -> list[Model]:
    return [from_proto(message, model_class) for message in messages]


def enum_from_proto(number: int, enum: EnumDescriptor, kind: type[StrEnum]) -> StrEnum | None:
    """None for UNSPECIFIED; a number from a newer sender is refused."""
    if number == 0:
        return None
    try:
        return _enum_values(enum, kind)[number]
    except KeyError:
        raise invalid(enum.name, "unknown value", number, ", ".join(kind)) from None


def enum_to_proto(value: StrEnum | None, enum: EnumDescriptor) -> int:
    return 0 if value is None else _enum_numbers(enum)[value]


@cache
def _enum_numbers(enum: EnumDescriptor) -> Mapping[str, int]:
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {value.name.removeprefix(prefix).lower(): value.number for value in enum.values if value.number}


@cache
def _enum_values(enum: EnumDescriptor, kind: type[StrEnum]) -> Mapping[int, StrEnum]:
    return {number: kind(text) for text, number in _enum_numbers(enum).items()}


def _plan(model: type[BaseModel], message: type[Message]) -> tuple[_Step, ...]:
    plan = _PLANS.get((model, message))
    if plan is None:
        plan = _PLANS[model, message] = _make_plan(model, message)
    return plan


def _make_plan(model: type[BaseModel], message: type[Message]) -> tuple[_Step, ...]:
    wires: dict[str, Any] = dict(message.DESCRIPTOR.fields_by_name)
    steps = []
    for name, info in model.model_fields.items():
        if info.exclude:
            continue  # a field of the client's alone
        descriptor = wires.pop(name, None)
        if descriptor is not None:
            steps.append(_step(name, descriptor, info.annotation))
            continue
        descriptor = wires.pop(f"{name}_json", None)
        if descriptor is None:
            raise TypeError(f"{model.__name__}.{name} has no field in {message.DESCRIPTOR.full_name}")
        steps.append(_json_step(name, descriptor, info.get_default(call_default_factory=True)))
    if wires:
        raise TypeError(f"{message.DESCRIPTOR.full_name} has fields that {model.__name__} lacks: {sorted(wires)}")
    return tuple(steps)


def _json_step(name: str, descriptor: FieldDescriptor, default: Any) -> _Step:
    empty = default if isinstance(default, dict | list) else None

    def load(text: str) -> Any:
        if not text:
            return None if empty is None else type(empty)()
        value = stored_document(text)
        return value if empty is None or isinstance(value, type(empty)) else type(empty)()

    return _Step(name, descriptor.name, canonical_json, load, False, descriptor)


def _step(name: str, descriptor: FieldDescriptor, annotation: Any) -> _Step:
    if descriptor.message_type is not None and descriptor.message_type.GetOptions().map_entry:
        return _Step(name, name, None, dict, False, descriptor)
    to_wire, from_wire = _converters(descriptor, annotation)
    if descriptor.is_repeated:
        to_wire, from_wire = _each(to_wire), _each(from_wire) or list
        return _Step(name, name, to_wire, from_wire, False, descriptor)
    return _Step(name, name, to_wire, from_wire, descriptor.has_presence, descriptor)


def _each(convert: Convert | None) -> Convert | None:
    return None if convert is None else lambda values: [convert(value) for value in values]


def _converters(descriptor: FieldDescriptor, annotation: Any) -> tuple[Convert | None, Convert | None]:
    if descriptor.enum_type is not None:
        kind, enum = _class_in(annotation, StrEnum, descriptor), descriptor.enum_type
        needed = kind is annotation

        def load(number: int) -> StrEnum | None:
            value = enum_from_proto(number, enum, kind)
            if value is None and needed:
                raise invalid(descriptor.full_name, "unset", None, ", ".join(kind))
            return value

        return (lambda value: enum_to_proto(value, enum)), load
    if descriptor.message_type is not None:
        model = _class_in(annotation, BaseModel, descriptor)
        nested = _message_class(descriptor)
        return (lambda value: to_proto(value, nested)), (lambda value: from_proto(value, model))
    return None, None


def _message_class(descriptor: FieldDescriptor) -> type[Message]:
    assert descriptor.message_type is not None
    return GetMessageClass(descriptor.message_type)


Found = TypeVar("Found")


def _class_in(annotation: Any, base: type[Found], descriptor: FieldDescriptor) -> type[Found]:
    if isinstance(annotation, type) and issubclass(annotation, base):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType, list, tuple):
        for inner in get_args(annotation):
            if isinstance(inner, type) and issubclass(inner, base):
                return inner
    raise TypeError(f"{descriptor.full_name} is a {base.__name__}; the resource's field is {annotation}")


def _client_json(field: str, text: str) -> Any:
    try:
        return read_json(text)
    except LeptonError as error:
        raise invalid(field, error.detail.replace("the body is", "this is"), text, "JSON text") from None


def _plain(step: _Step, value: Any, model_class: type[BaseModel]) -> Any:
    message_type = step.descriptor.message_type
    if message_type is None:
        if step.wire == f"{step.field}_json":
            return _client_json(step.wire, value)
        return value if step.from_wire is None else step.from_wire(value)
    if message_type.GetOptions().map_entry:
        return dict(value)
    annotation = model_class.model_fields[step.field].annotation
    nested = _class_in(annotation, BaseModel, step.descriptor)
    if step.descriptor.is_repeated:
        return [set_fields(each, nested) for each in value]
    return set_fields(value, nested)
