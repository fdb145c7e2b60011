"""Text: one piece of text a model, as its graph takes it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_core.errors import ErrorCode, LeptonError, Location, invalid
from lepton_core.model_format.kinds.port import FieldErrors, InputKind, Option
from lepton_core.model_format.signature import Datatype, Signature

if TYPE_CHECKING:
    from lepton_core.model_format.kinds.port import Tensors

EXAMPLE = "the film was better than the book"


class TextInput(InputKind):
    """Each instance: a text, or {"text": "…"}. The signature has one input: BYTES of shape (batch,) or (batch, 1)."""

    name = "text"
    one = "text"
    many = "texts"
    media_types = ("text/plain",)
    options = (Option("text", "TEXT", "A text.", lambda text: text),)
    schema = {"type": "string"}
    example = EXAMPLE

    def accepts(self, signature: Signature) -> bool:
        """Also a model of plain tensors that takes nothing but one text."""
        if signature.input_kind not in (self.name, "tensor") or len(signature.inputs) != 1:
            return False
        tensor = signature.inputs[0]
        return tensor.datatype is Datatype.BYTES and tensor.shape in ((-1,), (-1, 1))

    def decode(self, signature: Signature, instances: Sequence[Any]) -> "Tensors":
        import numpy as np

        tensor, errors = signature.inputs[0], FieldErrors()
        # Objects: a fixed width would give every text the room of the longest one.
        texts = np.empty(len(instances), object)
        for index, instance in enumerate(instances):
            try:
                texts[index] = _text(instance, ("instances", index, "text"))
            except LeptonError as error:
                errors.add_error(error)
        errors.raise_any()
        return {tensor.name: texts.reshape(len(instances), *tensor.shape[1:])}

    def to_json(self, value: Any) -> str:
        """A text, its bytes in UTF-8, or the path (pathlib.Path) of a file that holds it."""
        if isinstance(value, os.PathLike):
            try:
                value = Path(value).read_bytes()
            except OSError as error:
                raise LeptonError(ErrorCode.NOT_FOUND, f"{value}: {error.strerror}") from None
        return _text(value, "text")

    def arguments_to_try(self, signature: Signature, card: Mapping[str, Any], folder: Path) -> list[str]:
        return ["--text", EXAMPLE]


def _text(instance: Any, field: str | Location) -> str:
    if isinstance(instance, Mapping):
        instance = instance.get("text")
    if isinstance(instance, bytes | bytearray | memoryview):
        try:
            return bytes(instance).decode()
        except UnicodeDecodeError as error:
            raise invalid(field, f"not UTF-8: byte {error.start} cannot be read", allowed="text in UTF-8") from None
    if not isinstance(instance, str):
        raise invalid(field, "not a text", instance, 'text, as {"text": "…"}')
    return instance


TEXT = TextInput()
