"""Shared parts of the typed calls."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from google.protobuf.message import Message
from pydantic import BaseModel

from lepton_core.grpc import conversion

Item = TypeVar("Item")
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list; `next` is empty on the last page."""

    items: list[Item]
    next: str


def models(messages: Iterable[Message], model: type[Model]) -> list[Model]:
    return [conversion.from_proto(message, model) for message in messages]


def page(messages: Iterable[Message], model: type[Model], token: str) -> Page[Model]:
    return Page(models(messages, model), token)
