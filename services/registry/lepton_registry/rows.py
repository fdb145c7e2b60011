"""From a row to a message: columns are named like the fields of the contract."""

from collections.abc import Mapping
from typing import Any, TypeVar

import sqlalchemy as sa
from google.protobuf.message import Message

AnyMessage = TypeVar("AnyMessage", bound=Message)
# Field name, where its column stands, and the numbers of its words if it is an enum.
_Step = tuple[str, int, Mapping[str, int] | None]
_plans: dict[tuple[Any, tuple[str, ...]], list[_Step]] = {}


def to_message(row: sa.Row[Any], kind: type[AnyMessage], **more: Any) -> AnyMessage:
    """`more` gives fields that are no columns."""
    values = {name: numbers[row[at]] if numbers else row[at] for name, at, numbers in _steps(kind, tuple(row._fields))}
    return kind(**(values | more))


def from_values(values: Mapping[str, Any], kind: type[AnyMessage]) -> AnyMessage:
    """The same from columns by name, such as those of a row that was just inserted."""
    steps = _steps(kind, tuple(values))
    return kind(**{name: numbers[values[name]] if numbers else values[name] for name, _, numbers in steps})


def _steps(kind: type[Message], columns: tuple[str, ...]) -> list[_Step]:
    steps = _plans.get((kind, columns))
    if steps is None:
        steps = _plans[kind, columns] = _plan(kind, columns)
    return steps


def _plan(kind: type[Message], columns: tuple[str, ...]) -> list[_Step]:
    fields: Mapping[str, Any] = kind.DESCRIPTOR.fields_by_name
    return [(name, at, _numbers(fields[name].enum_type)) for at, name in enumerate(columns) if name in fields]


def _numbers(enum: Any) -> Mapping[str, int] | None:
    """`RUN_STATE_QUEUED` is the text "queued"; None for a field that is no enum."""
    if enum is None:
        return None
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {value.name.removeprefix(prefix).lower(): value.number for value in enum.values}
