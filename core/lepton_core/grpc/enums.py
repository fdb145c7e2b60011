"""Checks enum fields of requests: protobuf keeps unknown numbers, which no method can handle."""

from collections.abc import Iterator
from functools import cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from lepton_core.errors import invalid


def check_enums(message: Message, prefix: str = "") -> None:
    """Raises INVALID naming the field whose number is none of its enum's, at any depth of the message."""
    if not _has_enums(message.DESCRIPTOR):
        return
    for field, value in message.ListFields():
        name = f"{prefix}{field.name}"
        if field.enum_type is not None:
            for number in value if field.is_repeated else (value,):
                if number not in field.enum_type.values_by_number:
                    raise invalid(name, "unknown value", number, _names(field))
        elif field.message_type is not None:
            for at, each in _messages(field, value):
                check_enums(each, f"{name}{at}.")


def _messages(field: FieldDescriptor, value: object) -> Iterator[tuple[str, Message]]:
    if isinstance(value, Message):
        yield "", value
    elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
        for index, each in enumerate(value):  # type: ignore[arg-type,var-annotated]  # a repeated field
            yield f"[{index}]", each


def _names(field: FieldDescriptor) -> str:
    assert field.enum_type is not None
    return ", ".join(value.name for value in field.enum_type.values if value.number)


@cache
def _has_enums(message: Descriptor) -> bool:
    """Whether the message or one within it has an enum field; most have none, and cost nothing more."""
    waiting, seen = [message], {message.full_name}
    while waiting:
        for field in waiting.pop().fields:
            if field.enum_type is not None:
                return True
            inner = field.message_type
            if inner is not None and inner.full_name not in seen:
                seen.add(inner.full_name)
                waiting.append(inner)
    return False
