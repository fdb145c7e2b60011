"""Converts rows to messages: columns have the names of the contract's fields."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import sqlalchemy as sa
from google.protobuf.message import Message

from lepton_registry import stored_causes

AnyMessage = TypeVar("AnyMessage", bound=Message)
Convert = Callable[[Any], Any]
# Field name, index and name of its column, and the conversion of the value; None: the value is not converted.
_Step = tuple[str, int, str, Convert | None]
_CAUSE = "lepton.v1.Cause"
_plans: dict[tuple[Any, tuple[str, ...]], list[_Step]] = {}


def to_message(row: sa.Row[Any], kind: type[AnyMessage], **more: Any) -> AnyMessage:
    """`more`: values of fields that are not columns."""
    steps = _steps(kind, tuple(row._fields))
    values = {field: convert(row[at]) if convert else row[at] for field, at, _, convert in steps}
    return kind(**(values | more))


def from_values(values: Mapping[str, Any], kind: type[AnyMessage]) -> AnyMessage:
    """The same, from columns by name, such as those of a new row."""
    steps = _steps(kind, tuple(values))
    return kind(**{field: convert(values[name]) if convert else values[name] for field, _, name, convert in steps})


def _steps(kind: type[Message], columns: tuple[str, ...]) -> list[_Step]:
    steps = _plans.get((kind, columns))
    if steps is None:
        steps = _plans[kind, columns] = _plan(kind, columns)
    return steps


def _plan(kind: type[Message], columns: tuple[str, ...]) -> list[_Step]:
    fields: Mapping[str, Any] = kind.DESCRIPTOR.fields_by_name
    steps = []
    for at, name in enumerate(columns):
        field = name if name in fields else name.removesuffix("_json")
        if field in fields and (field == name or _is_cause(fields[field])):
            steps.append((field, at, name, _convert(fields[field])))
    return steps


def _is_cause(field: Any) -> bool:
    return field.message_type is not None and field.message_type.full_name == _CAUSE


def _convert(field: Any) -> Convert | None:
    """The conversion for a field: the text "queued" to `RUN_STATE_QUEUED`, JSON in a column `…_json` to a cause."""
    if _is_cause(field):
        return stored_causes.message_of
    if field.enum_type is None:
        return None
    prefix = field.enum_type.values_by_number[0].name.removesuffix("UNSPECIFIED")
    numbers = {value.name.removeprefix(prefix).lower(): value.number for value in field.enum_type.values}
    return numbers.__getitem__
