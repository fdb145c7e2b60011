"""From a row to a message: columns are named like the fields of the contract."""

from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import sqlalchemy as sa
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message

AnyMessage = TypeVar("AnyMessage", bound=Message)


def to_message(row: sa.Row[Any], kind: type[AnyMessage], **more: Any) -> AnyMessage:
    """`more` gives fields that are no columns."""
    values = {name: numbers[row[at]] if numbers else row[at] for name, at, numbers in _plan(kind, tuple(row._fields))}
    return kind(**values, **more)


@cache
def _plan(kind: type[Message], columns: tuple[str, ...]) -> list[tuple[str, int, Mapping[str, int] | None]]:
    fields: Mapping[str, FieldDescriptor] = kind.DESCRIPTOR.fields_by_name
    return [
        (name, at, _numbers(fields[name].enum_type) if fields[name].enum_type else None)
        for at, name in enumerate(columns)
        if name in fields
    ]


def _numbers(enum: EnumDescriptor) -> Mapping[str, int]:
    """`RUN_STATE_QUEUED` is the text "queued"."""
    prefix = enum.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {value.name.removeprefix(prefix).lower(): value.number for value in enum.values}
